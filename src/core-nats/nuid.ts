const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/**
 * A new identifier: 22 characters of 0-9, A-Z and a-z, each drawn evenly from the host's secure random numbers (130
 * bits in all), so that none repeats and none can be guessed. For inboxes, connection IDs and the start of guids.
 */
export function nuid(): string {
  const bytes = new Uint8Array(32);
  let id = "";
  while (id.length < 22) {
    // The two values of six bits that have no character add nothing: the rest stay equally likely.
    for (const byte of crypto.getRandomValues(bytes)) id += alphabet.charAt(byte & 63);
  }
  return id.slice(0, 22);
}
