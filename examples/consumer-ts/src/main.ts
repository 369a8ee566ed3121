// A reference consumer: node dist/main.js http://127.0.0.1:7070 eu

import { createConnectTransport } from "@connectrpc/connect-node";

import { Ledger } from "./ledger.js";
import { subscribe } from "./subscribe.js";

const [url, home] = process.argv.slice(2);
if (url === undefined || home === undefined) {
  console.error("usage: node dist/main.js <base URL of a server> <home>");
  process.exit(2);
}
const ending = new AbortController();
process.once("SIGINT", () => ending.abort());
process.once("SIGTERM", () => ending.abort());
const ledger = new Ledger();
const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
try {
  await subscribe(transport, ledger, { home, signal: ending.signal, log: (line) => console.error(line) });
} catch (err) {
  console.error(err instanceof Error ? err.message : err);
  process.exitCode = 1;
}
console.log(JSON.stringify(ledger.summary(), null, 2));
