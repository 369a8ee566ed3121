import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";

import { EventService } from "./gen/meridian/ledger/v1/event_pb.js";
import { type Ledger, parseEvent } from "./ledger.js";

export interface Options {
  home: string;
  /** Events after this position; 0n is from the beginning. */
  after?: bigint;
  /** Milliseconds between heartbeats of a stream that has nothing to say. */
  heartbeat?: number;
  signal: AbortSignal;
  /** Called with each position up to which everything was taken: store it before going on from there. */
  taken?: (position: bigint) => void;
  log?: (line: string) => void;
}

const firstPause = 100;
const lastPause = 10_000;

/**
 * subscribe takes the events of a home in order, and connects again when the stream breaks or falls silent, until the signal aborts. What the server
 * says can never succeed is thrown.
 */
export async function subscribe(transport: Transport, ledger: Ledger, o: Options): Promise<bigint> {
  const client = createClient(EventService, transport);
  const heartbeat = o.heartbeat ?? 5_000;
  let after = o.after ?? 0n;
  for (let pause = firstPause; !o.signal.aborted; pause = Math.min(2 * pause, lastPause)) {
    const line = new AbortController();
    const hangUp = () => line.abort();
    o.signal.addEventListener("abort", hangUp);
    const silence = setTimeout(hangUp, 4 * heartbeat); // a connection may be dead without a word
    try {
      const stream = client.subscribe(
        { home: o.home, from: { case: "after", value: after }, heartbeat: { seconds: BigInt(Math.floor(heartbeat / 1000)), nanos: (heartbeat % 1000) * 1e6 } },
        { signal: line.signal },
      );
      for await (const m of stream) {
        silence.refresh();
        if (m.what.case === "event") {
          ledger.take(parseEvent(m.what.value.cloudEvent));
        }
        const position = m.what.value?.position ?? 0n; // that of a heartbeat may be higher: what is between was not wanted
        after = position > after ? position : after;
        o.taken?.(after);
        pause = firstPause;
      }
      o.log?.("the stream ended and begins again");
    } catch (err) {
      const known = ConnectError.from(err);
      if (o.signal.aborted) {
        break;
      }
      if (!(err instanceof ConnectError) && !line.signal.aborted || final.includes(known.code)) {
        throw err;
      }
      o.log?.(`the stream broke and begins again: ${known.message}`);
    } finally {
      clearTimeout(silence);
      o.signal.removeEventListener("abort", hangUp);
      line.abort();
    }
    await rest(pause / 2 + (Math.random() * pause) / 2, o.signal);
  }
  return after;
}

const final = [Code.InvalidArgument, Code.NotFound, Code.Unimplemented, Code.Unauthenticated, Code.PermissionDenied, Code.OutOfRange];

/** rest waits for some milliseconds, or until the signal aborts. */
function rest(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
