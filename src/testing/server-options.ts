type Optional<T> = { [K in keyof T]?: T[K] | undefined };

/** Options of `StreamingServer.start`. All of them may be left out. */
export interface StreamingServerOptions {
  /** The TCP port. Default 0: a free one. */
  port?: number | undefined;
  /**
   * The address to listen on. Default "127.0.0.1". What is not loopback needs
   * {@link StreamingServerOptions.allowRemote}.
   */
  host?: string | undefined;
  /**
   * True: the server may listen on any interface. It has no access control: anybody who reaches the port may do
   * anything. Default false.
   */
  allowRemote?: boolean | undefined;
  /** Default "test-cluster". */
  clusterId?: string | undefined;
  /**
   * Every `interval` milliseconds (30 000) a client has `timeout` (10 000) to answer; after more than `failCount` (10)
   * failures in a row it is forgotten.
   */
  heartbeat?: Optional<{ interval: number; timeout: number; failCount: number }> | undefined;
  /**
   * Default 100 `channels`; in each 1 000 `subscriptions` and 1 000 000 `messages`; 1 MiB of `payload`. 0 stands for no
   * limit, but for `payload`, where it stands for the default.
   */
  limits?: Optional<{ channels: number; subscriptions: number; messages: number; payload: number }> | undefined;
}
