// What the bridge uses of the host, and nothing else of the library does.

interface Response {
  readonly ok: boolean;
  readonly status: number;
  text(): Promise<string>;
}
interface AbortSignalConstructor {
  any(signals: AbortSignal[]): AbortSignal;
  timeout(milliseconds: number): AbortSignal;
}
/** For the monitoring page of the streaming server. */
declare function fetch(url: string, options: { signal: AbortSignal; redirect: "error" }): Promise<Response>;
/** For what JetStream's API gives as base64. */
declare function atob(base64: string): string;
