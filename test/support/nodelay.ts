import { spawnSync } from "node:child_process";
import type { Socket } from "node:net";

/**
 * Asks the kernel whether a connected TCP socket sends small writes at once (TCP_NODELAY), and does not hold them back
 * until the peer has confirmed what was sent before. Node cannot be asked, so perl inherits the file descriptor.
 * Undefined where there is no perl.
 */
export function sendsAtOnce(socket: Socket): boolean | undefined {
  // The numbers of IPPROTO_TCP and TCP_NODELAY, on Linux and macOS.
  const script = `print unpack("i", getsockopt(STDIN, 6, 1) || die $!)`;
  const run = spawnSync("perl", ["-e", script], { encoding: "utf8", stdio: [socket._handle.fd, "pipe", "pipe"] });
  if (run.error !== undefined) return undefined;
  if (run.status !== 0) throw new Error(`getsockopt: ${run.stderr}`);
  return run.stdout !== "0";
}
