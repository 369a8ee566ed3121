// A ledger acts on events, each once, and notes what is missing on each account. A subscription is in order on each account, so that nothing has
// to wait: a sequence that is missing was left out by a filter, or is older than what was asked for.

/** An entry is a line of an account's statement. Amounts are decimal strings and stay that: a number would lose digits. */
export interface Entry {
  ledger: string;
  account_id: string;
  sequence: number;
  /** On a default counter account: its events come in any order. */
  counter?: boolean;
  balance: string;
}

/** What this consumer needs of a CloudEvent. */
export interface LedgerEvent {
  id: string;
  type: string;
  data: { entries?: Entry[] };
}

/** parseEvent reads a CloudEvent in JSON. Fields that are not known are ignored: minor versions add some. */
export function parseEvent(text: string): LedgerEvent {
  const e = JSON.parse(text) as Partial<LedgerEvent> | null;
  if (typeof e?.id !== "string" || e.id === "" || typeof e.type !== "string" || typeof e.data !== "object" || e.data === null) {
    throw new Error("not an event of the change stream");
  }
  for (const line of e.data.entries ?? []) {
    if (typeof line.account_id !== "string" || typeof line.balance !== "string" || !Number.isSafeInteger(line.sequence) || line.sequence < 1) {
      throw new Error("an entry without account, balance or sequence");
    }
  }
  return e as LedgerEvent;
}

/** What came of the events. */
export interface Summary {
  events: number;
  duplicates: number;
  types: Record<string, number>;
  balances: Record<string, string>;
  /** Runs of sequences, first and last included, of accounts that have later ones. */
  missing: Record<string, [number, number][]>;
  /** Accounts on which an event came after a later one; always empty, or the promise of the stream is broken. */
  disordered: string[];
}

interface Account {
  got: Set<number>;
  last: number;
  balance: string;
}

export class Ledger {
  private readonly seen = new Set<string>();
  private readonly accounts = new Map<string, Account>();
  private readonly types: Record<string, number> = {};
  private readonly disordered = new Set<string>();
  private duplicates = 0;

  /** take acts on an event, or does nothing where it came before; it returns whether it acted. */
  take(e: LedgerEvent): boolean {
    if (this.seen.has(e.id)) {
      this.duplicates++;
      return false;
    }
    this.seen.add(e.id);
    this.types[e.type] = (this.types[e.type] ?? 0) + 1;
    for (const line of e.data.entries ?? []) {
      this.enter(line);
    }
    return true;
  }

  private enter(line: Entry): void {
    const name = `${line.ledger}/${line.account_id}`;
    let a = this.accounts.get(name);
    if (a === undefined) {
      a = { got: new Set(), last: 0, balance: "" };
      this.accounts.set(name, a);
    }
    a.got.add(line.sequence);
    if (line.sequence > a.last) {
      a.last = line.sequence;
      a.balance = line.balance;
    } else if (line.counter !== true) {
      this.disordered.add(name);
    }
  }

  summary(): Summary {
    const s: Summary = {
      events: this.seen.size, duplicates: this.duplicates, types: { ...this.types }, balances: {}, missing: {}, disordered: [...this.disordered].sort(),
    };
    for (const [name, a] of this.accounts) {
      s.balances[name] = a.balance;
      const missing = gaps(a);
      if (missing.length > 0) {
        s.missing[name] = missing;
      }
    }
    return s;
  }
}

function gaps(a: Account): [number, number][] {
  const missing: [number, number][] = [];
  let due = 1;
  for (const n of [...a.got].sort((x, y) => x - y)) {
    if (n > due) {
      missing.push([due, n - 1]);
    }
    due = n + 1;
  }
  return missing;
}
