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
