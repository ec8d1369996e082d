// What reading monitoring pages uses of the host.

interface Response {
  readonly ok: boolean;
  readonly status: number;
  text(): Promise<string>;
}
interface AbortSignalConstructor {
  any(signals: AbortSignal[]): AbortSignal;
  timeout(milliseconds: number): AbortSignal;
}
declare function fetch(url: string, options: { signal: AbortSignal; redirect: "error" }): Promise<Response>;
declare const URLSearchParams: { new (query: string): { get(name: string): string | null } };

declare module "node:http" {
  export interface Incoming {
    readonly url: string;
    readonly method: string;
  }
  export interface Outgoing {
    writeHead(status: number, headers: Record<string, string>): this;
    end(text?: string): void;
  }
  export interface HttpServer {
    listen(port: number, host: string, listening?: () => void): this;
    address(): { port: number };
    closeAllConnections(): void;
    close(closed?: () => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }
  export function createServer(listener: (request: Incoming, response: Outgoing) => void): HttpServer;
}
