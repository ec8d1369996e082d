import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { ClientOpts } from "../../src/node-nats-streaming/stan-options.ts";
import { creds as credsOf, jwtConfig, jwtOf, otherSeed, signature, user, userSeed } from "../support/nkeys.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { type Run, suite } from "./transcript.ts";

const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** 0.3.2 reads none whose lines end in CR LF. */
const creds = (seed: string, exp?: number): string => credsOf(seed, exp).replaceAll("\r", "");
const pem = (name: string): string => join(__dirname, `../fixtures/tls/${name}.pem`);
const signer = (seed: string) => (nonce: Uint8Array): Uint8Array => signature(seed, nonce);

/** Connects, publishes and gets the message back. */
const works = (options: (run: Run) => ClientOpts) => async (run: Run): Promise<void> => {
  const stan = await run.open(options(run));
  run.follow(stan.subscribe(run.channel()));
  await run.seen("sub ready");
  await run.publish(stan, run.channel(), "one");
  await run.seen("sub message one");
};

/** Is refused: there is an error, and no connect. What follows depends on the version of the server. */
const refused = (options: (run: Run) => ClientOpts) => async (run: Run): Promise<void> => {
  run.connect({ ...options(run), reconnect: false });
  await run.seen("stan error");
  run.lines.splice(0, run.lines.length, run.lines[0]!.replace(/ .*/, ""), `connect ${run.count("stan connect")}`);
};

describeWithServer("as 0.3.2, with an nkey", () => {
  const config = `authorization { users: [ { nkey: ${user} } ] }
    streaming { id: test-cluster, nkey_seed_file: ${JSON.stringify(file("user.nk", userSeed))} }`;
  const { same, differs } = suite(serverForSuite({ config }), { nkeySeed: userSeed });

  same("takes nkey and nonceSigner", works(() => ({ nkey: user, nonceSigner: signer(userSeed) })));
  same("takes nkeys", works(() => ({ nkeys: user, nonceSigner: signer(userSeed) }) as ClientOpts));
  for (const option of ["sig", "sigCB", "sigCallback", "sigcb"]) {
    same(`takes ${option}`, works(() => ({ nkey: user, [option]: signer(userSeed) })));
  }
  same("gives the signer a Buffer, once for each dial", async (run) => {
    const nonceSigner = (nonce: Buffer): Uint8Array => {
      run.log("signer", Buffer.isBuffer(nonce), nonce.length > 10);
      return signature(userSeed, nonce);
    };
    await run.open({ nkey: user, nonceSigner });
  });
  same("takes a signature that is text", works(() => {
    return { nkey: user, nonceSigner: (nonce: Buffer) => Buffer.from(signature(userSeed, nonce)).toString("base64") };
  }));
  same("refuses the signature of another key", refused(() => ({ nkey: user, nonceSigner: signer(otherSeed) })));
  same("refuses who has a public key and no signer", refused(() => ({ nkey: user })));
  same("refuses who has no key", refused(() => ({ nonceSigner: signer(userSeed) })));
  same("refuses a signer that is no function", refused(() => ({ nkey: user, nonceSigner: "CANARY" as never })));

  differs(
    "an async signer sends no signature: it is awaited",
    async (run) => {
      run.connect({ nkey: user, nonceSigner: async (nonce: Buffer) => signature(userSeed, nonce), reconnect: false });
      await Promise.race([run.seen("stan connect"), run.seen("stan error")]);
      run.lines.splice(0, run.lines.length, run.lines[0]!.replace(/ (\S+).*/, " $1"));
    },
    ["stan error"],
    ["stan connect"],
  );

  differs(
    "the seed of an nkey is no option: it is",
    async (run) => {
      run.connect({ nkeySeed: userSeed, reconnect: false });
      await Promise.race([run.seen("stan connect"), run.seen("stan error")]);
      run.lines.splice(0, run.lines.length, run.lines[0]!.replace(/ (\S+).*/, " $1"));
    },
    ["stan error"],
    ["stan connect"],
  );
});

describeWithServer("as 0.3.2, with a user JWT", () => {
  const path = file("user.creds", creds(userSeed));
  const streaming = `streaming { id: test-cluster, credentials: ${JSON.stringify(path)} }`;
  const server = serverForSuite({ config: `${jwtConfig()}\n${streaming}` });
  const { differs, same } = suite(server, { creds: creds(userSeed) });
  const jwt = jwtOf(credsOf(userSeed));
  const nonceSigner = signer(userSeed);

  same("takes userCreds", works(() => ({ userCreds: path })));
  for (const option of ["credentials", "usercreds"]) {
    same(`takes ${option}`, works(() => ({ [option]: path })));
  }
  same("takes userJWT and nonceSigner", works(() => ({ userJWT: jwt, nonceSigner })));
  same("takes userJWT as a function", works(() => ({ userJWT: () => jwt, nonceSigner })));
  for (const option of ["jwt", "JWT", "userjwt"]) {
    same(`takes ${option}`, works(() => ({ [option]: jwt, nonceSigner })));
  }
  same("takes a JWT and an nkey together", works(() => ({ userJWT: jwt, nkey: user, nonceSigner })));
  same("refuses the seed of another user", refused(() => ({ userCreds: file("other.creds", creds(otherSeed)) })));
  same("refuses a JWT with the signature of another user", refused(() => {
    return { userJWT: jwt, nonceSigner: signer(otherSeed) };
  }));

  differs(
    "an async userJWT sends no JWT: it is awaited",
    async (run) => {
      run.connect({ userJWT: async () => jwt, nonceSigner, reconnect: false });
      await Promise.race([run.seen("stan connect"), new Promise<void>((resolve) => setTimeout(resolve, 2_000))]);
      run.lines.splice(0, run.lines.length, `connects ${run.count("stan connect")}`);
    },
    ["connects 0"],
    ["connects 1"],
  );

  same("reads userCreds at every dial", async (run) => {
    const own = file(`${run.clientId}.creds`, creds(userSeed, Math.floor(Date.now() / 1000) + 5));
    await run.open({ userCreds: own, reconnectTimeWait: 50 });
    writeFileSync(own, creds(userSeed));
    await run.seen("stan reconnect");
    // 0.3.2 tells of the end of the JWT by an error, and here it is repaired.
    const lines = run.lines.filter((line) => !/^stan (error|reconnecting)/.test(line));
    run.lines.splice(0, run.lines.length, ...lines);
  });
});

describeWithServer("as 0.3.2, with TLS", () => {
  const verify = `ca_file: ${pem("ca")}, verify: true`;
  const tls = `tls { cert_file: ${pem("server")}, key_file: ${pem("server-key")}, timeout: 5, ${verify} }`;
  const client = `client_ca: ${pem("ca")}, client_cert: ${pem("client")}, client_key: ${pem("client-key")}`;
  const streaming = `streaming { id: test-cluster, tls { ${client}, server_name: localhost } }`;
  const own = {
    ca: readFileSync(pem("ca")),
    cert: readFileSync(pem("client")),
    key: readFileSync(pem("client-key")),
  };
  const server = serverForSuite({ config: `${tls}\n${streaming}`, args: ["-secure"] });
  const { same } = suite(server, undefined, own);

  same("takes authority, certificate and key", works(() => ({ tls: own })));
  same("takes them under the name secure", works(() => ({ secure: own }) as ClientOpts));
  same("takes lists and texts", works(() => ({ tls: { ...own, ca: [String(own.ca)], key: String(own.key) } })));
  same("takes rejectUnauthorized: true", works(() => ({ tls: { ...own, rejectUnauthorized: true } })));
  same("takes a key with a passphrase", works(() => {
    return { tls: { ...own, key: readFileSync(pem("client-key-encrypted")), passphrase: "a-passphrase" } };
  }));
  same("takes tls:// with options", works(({ server }) => ({ url: `tls://127.0.0.1:${server.port}`, tls: own })));
  same("refuses another authority", refused(() => ({ tls: { ...own, ca: readFileSync(pem("other-ca")) } })));
  same("refuses who has no certificate", refused(() => ({ tls: { ca: own.ca } })));
  same("takes servername", works(() => ({ tls: { ...own, servername: "localhost" } })));
  same("refuses an authority that the host does not trust, with true", refused(() => ({ tls: true })));
  same("refuses who speaks no TLS", refused(() => ({})));
});

describeWithServer("as 0.3.2, with TLS that the server does not offer", () => {
  const { same } = suite(serverForSuite());
  same("refuses a server without TLS", refused(() => ({ tls: { ca: readFileSync(pem("ca")) } })));
});
