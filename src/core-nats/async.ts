/** A promise together with the functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Calls `listener` once: when the signal aborts, or at once if it has. Returns the function that takes the listener away. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return nothing;
  }
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** Resolves when one of the signals aborts. Never rejects. */
export function aborted(...signals: AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const removers: (() => void)[] = [];
    function done(): void {
      for (const remove of removers) remove();
      resolve();
    }
    for (const signal of signals) removers.push(onAbort(signal, done));
  });
}

/** Resolves after `milliseconds`, or as soon as one of the signals aborts: whoever waits looks at the signals then. Never rejects. */
export function sleep(milliseconds: number, ...signals: AbortSignal[]): Promise<void> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), milliseconds);
  return aborted(controller.signal, ...signals).then(() => clearTimeout(timer));
}

/** Resolves when the promise settles, either way, or when one of the signals aborts. Never rejects. */
export function settled(promise: Promise<unknown>, ...signals: AbortSignal[]): Promise<void> {
  const controller = new AbortController();
  const done = (): void => controller.abort();
  promise.then(done, done);
  return aborted(controller.signal, ...signals);
}

/** A controller that aborts by itself when one of the signals does. `release()` lets go of them. */
export function linked(...signals: (AbortSignal | undefined)[]): { controller: AbortController; release(): void } {
  const controller = new AbortController();
  const removers: (() => void)[] = [];
  for (const signal of signals) {
    if (signal !== undefined) removers.push(onAbort(signal, () => controller.abort(signal.reason)));
  }
  return {
    controller,
    release() {
      for (const remove of removers) remove();
    },
  };
}

function nothing(): void {}
