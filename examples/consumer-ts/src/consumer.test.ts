import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { test } from "node:test";

import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter, createConnectTransport } from "@connectrpc/connect-node";

import { EventService } from "./gen/meridian/ledger/v1/event_pb.js";
import { type Entry, Ledger, type LedgerEvent, parseEvent } from "./ledger.js";
import { subscribe } from "./subscribe.js";

/** story makes events as the server does: in order on each account but the default counter account. */
function story(n: number): LedgerEvent[] {
  const sequences = new Map<string, number>();
  const line = (account: string, counter?: boolean): Entry => {
    const sequence = (sequences.get(account) ?? 0) + 1;
    sequences.set(account, sequence);
    return { ledger: "brand", account_id: account, sequence, balance: `9007199254740993${sequence}`, ...(counter ? { counter } : {}) };
  };
  return Array.from({ length: n }, (_, i) => ({
    id: `t${i}`, type: i % 3 === 0 ? "transaction.posted" : "wallet.credit.committed", data: { entries: [line(`a${i % 4}`), line("~counter", true)] },
  }));
}

test("events that come again are acted on once", () => {
  const ledger = new Ledger();
  const events = story(30);
  for (const e of [...events.slice(0, 20), ...events.slice(10)]) {
    ledger.take(e);
  }
  const s = ledger.summary();
  assert.equal(s.events, 30);
  assert.equal(s.duplicates, 10);
  assert.deepEqual(s.missing, {});
  assert.deepEqual(s.disordered, []);
  assert.equal(s.balances["brand/a0"], "90071992547409938"); // every digit of it
});

test("what is missing and what is out of order is told", () => {
  const ledger = new Ledger();
  const events = story(24);
  for (const e of events.filter((_, i) => i !== 4 && i !== 8)) {
    ledger.take(e);
  }
  assert.deepEqual(ledger.summary().missing, { "brand/a0": [[2, 3]], "brand/~counter": [[5, 5], [9, 9]] });
  assert.deepEqual(ledger.summary().disordered, []);
  ledger.take(events[4]!);
  assert.deepEqual(ledger.summary().missing["brand/a0"], [[3, 3]]);
  assert.deepEqual(ledger.summary().disordered, ["brand/a0"]); // and not the counter account
});

test("the examples are read, and nothing else", () => {
  const directory = new URL("../../../docs/events/examples/", import.meta.url);
  const files = readdirSync(directory).filter((name) => name.endsWith(".json"));
  assert.ok(files.length > 10);
  for (const name of files) {
    assert.equal(parseEvent(readFileSync(new URL(name, directory), "utf8")).type, name.replace(/\.json$/, ""));
  }
  for (const text of ["", "null", "{}", '{"id":"a","type":"b"}', '{"id":"a","type":"b","data":{"entries":[{"account_id":"a","balance":"1","sequence":1.5}]}}']) {
    assert.throws(() => parseEvent(text));
  }
});

/** serving is a server whose streams end after a few events, and repeat some. */
async function serving(events: LedgerEvent[], each: number): Promise<{ url: string; calls: bigint[]; server: Server }> {
  const calls: bigint[] = [];
  const server = createServer(connectNodeAdapter({
    routes: (router) => router.service(EventService, {
      async *subscribe(r, context) {
        if (r.home !== "eu") {
          throw new ConnectError("there is no such home", Code.InvalidArgument);
        }
        const after = r.from.case === "after" ? r.from.value : -1n;
        calls.push(after);
        yield { what: { case: "heartbeat" as const, value: { home: "eu", position: after } } };
        const from = Math.max(0, Number(after) - 2);
        for (const [i, e] of events.slice(from, from + each).entries()) {
          yield { what: { case: "event" as const, value: { home: "eu", position: BigInt(from + i + 1), id: e.id, type: e.type, cloudEvent: JSON.stringify(e) } } };
        }
        if (calls.length % 3 === 1) {
          await new Promise((resolve) => context.signal.addEventListener("abort", resolve)); // says nothing any more
        }
        throw new ConnectError("draining", Code.Unavailable);
      },
    }),
  }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, server };
}

test("a subscription goes on where it was, over streams that end, break and fall silent", async () => {
  const events = story(40);
  const { url, calls, server } = await serving(events, 9);
  const ledger = new Ledger();
  const ending = new AbortController();
  const positions: bigint[] = [];
  const after = await subscribe(createConnectTransport({ baseUrl: url, httpVersion: "1.1" }), ledger, {
    home: "eu", heartbeat: 100, signal: ending.signal,
    taken: (position) => {
      positions.push(position);
      if (position === 40n) {
        ending.abort();
      }
    },
  });
  server.closeAllConnections();
  server.close();
  const s = ledger.summary();
  assert.equal(after, 40n);
  assert.equal(s.events, 40);
  assert.ok(s.duplicates > 0);
  assert.deepEqual([s.missing, s.disordered], [{}, []]);
  assert.ok(calls.length >= 4, `${calls.length} calls`);
  assert.equal(calls[0], 0n);
});

test("what can never succeed is not tried again", async () => {
  const { url, calls, server } = await serving([], 1);
  await assert.rejects(
    subscribe(createConnectTransport({ baseUrl: url, httpVersion: "1.1" }), new Ledger(), { home: "mars", signal: new AbortController().signal }),
    (err) => ConnectError.from(err).code === Code.InvalidArgument,
  );
  assert.equal(calls.length, 0);
  server.closeAllConnections();
  server.close();
});
