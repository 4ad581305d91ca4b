// The face of tb_browser for JavaScript: objects that a page's scripts use as if they were JavaScript's own.
// Evaluated by javascript.py; `python` is its _Bridge, and every pair that comes from there is [error, value].
(python, name) => {
  const CHANGE = "timebackchange";

  class TimebackError extends Error {
    constructor(name, message, fields) {
      super(message);
      Object.assign(this, { name, ...fields });
    }
  }

  const settled = ([error, value]) => {
    if (error) throw error;
    return value;
  };
  const promised = (begin) => new Promise(begin).then(settled);

  class Activity {
    #python;
    constructor(proxy, { startedAt, ...facts }) {
      this.#python = proxy;
      Object.assign(this, facts, { startedAt: new Date(startedAt) });
      Object.freeze(this);
    }
    get isPaused() { return this.#python.is_paused; }
    get ended() { return this.#python.ended; }
    get elapsedMs() { return this.#python.elapsed_ms; }
    get totalActiveMs() { return this.#python.total_active_ms; }
    get totalInactiveMs() { return this.#python.total_inactive_ms; }
    get stats() { return python.stats(this.#python); }
    pause() { settled(python.pause(this.#python)); }
    resume() { settled(python.resume(this.#python)); }
    flush() { return promised((told) => python.flush_activity(this.#python, told)); }
    end(metrics) { return promised((told) => python.end(this.#python, metrics, told)); }
  }

  const client = Object.freeze({
    activity: Object.freeze({
      start: (options) => settled(python.start(options)),
      get current() { return python.current() ?? null; },
    }),
    user: Object.freeze({
      me: () => promised((told) => python.me(told)),
      verify: () => promised((told) => python.verify(told)),
    }),
    signInUrl: (options) => settled(python.sign_in_url(options)),
    signOutUrl: () => python.sign_out_url(),
    flush: () => promised((told) => python.flush(told)),
    close: () => promised((told) => python.close(told)),
  });

  globalThis[name] = client;
  dispatchEvent(new Event(CHANGE));

  return {
    activity: (proxy, facts) => new Activity(proxy, facts),
    error: (name, message, fields) => new TimebackError(name, message, fields),
    withdraw() {
      if (globalThis[name] === client) delete globalThis[name];
      dispatchEvent(new Event(CHANGE));
    },
  };
};
