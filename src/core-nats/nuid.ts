const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/**
 * Makes an identifier for an inbox, a connection ID or the start of guids: 22 characters of 0-9, A-Z and a-z, drawn
 * evenly from the host's secure random numbers (130 bits in all). So it does not repeat, and nobody can guess it.
 */
export function nuid(): string {
  const bytes = new Uint8Array(32);
  let id = "";
  while (id.length < 22) {
    // Two values of six bits have no character and add nothing: the others stay equally likely.
    for (const byte of crypto.getRandomValues(bytes)) id += alphabet.charAt(byte & 63);
  }
  return id.slice(0, 22);
}
