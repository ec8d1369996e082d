import type { RealServer } from "./server.ts";
import { until } from "./until.ts";

/** A subscription as the server's monitoring shows it. */
export interface SubscriptionPage {
  readonly client_id: string;
  readonly inbox: string;
  readonly ack_inbox: string;
  readonly queue_name?: string;
  readonly durable_name?: string;
  readonly is_durable: boolean;
  readonly is_offline: boolean;
  readonly max_inflight: number;
  /** Seconds. */
  readonly ack_wait: number;
  readonly last_sent: number;
  readonly pending_count: number;
  readonly is_stalled: boolean;
}

/** A channel as the server's monitoring shows it. */
export interface ChannelPage {
  readonly name: string;
  readonly msgs: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly subscriptions?: readonly SubscriptionPage[];
}

/** A channel; undefined while the server has none of this name. */
export function channelPage(server: RealServer, channel: string): Promise<ChannelPage | undefined> {
  return server.monitor<ChannelPage>(`streaming/channelsz?channel=${channel}&subs=1`);
}

/** The subscriptions that the server has of a channel, offline durables too. */
export async function subscriptionPages(server: RealServer, channel: string): Promise<readonly SubscriptionPage[]> {
  return (await channelPage(server, channel))?.subscriptions ?? [];
}

/** Waits until the server has sent up to a sequence to each subscription of a channel, and has heard all acks. */
export async function untilAcknowledged(server: RealServer, channel: string, sequence: number): Promise<void> {
  let pages: readonly SubscriptionPage[] = [];
  const done = (page: SubscriptionPage): boolean => page.last_sent === sequence && page.pending_count === 0;
  try {
    await until(`all of ${channel} up to ${sequence} is acknowledged`, async () => {
      pages = await subscriptionPages(server, channel);
      return pages.length > 0 && pages.every(done);
    });
  } catch (error) {
    throw new Error(`${String(error)}; the server has ${JSON.stringify(pages)}`);
  }
}

/** Whether the server knows a client ID. */
export async function knowsClient(server: RealServer, clientId: string): Promise<boolean> {
  return (await server.monitor(`streaming/clientsz?client=${clientId}`)) !== undefined;
}
