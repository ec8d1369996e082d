// What reading monitoring pages, uses of the host.

declare const URLSearchParams: { new (query: string): { get(name: string): string | null } };
