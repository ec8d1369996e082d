// What the bridge uses of the host, and nothing else of the library does.

/** For what JetStream's API gives as base64. */
declare function atob(base64: string): string;
