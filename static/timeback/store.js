// Where `window.timeback` is, for scripts that may be there before Python is: a plain store, for any framework.
//
//   const store = timebackStore();
//   store.get()                      the client, or null as long as Python has not published it
//   store.subscribe(listener)        called at every change; returns how to stop that
//   await store.ready()              the client, as soon as there is one

export function timebackStore(name = "timeback") {
  const get = () => (Object.hasOwn(globalThis, name) ? globalThis[name] : null);

  function subscribe(listener) {
    addEventListener("timebackchange", listener);
    return () => removeEventListener("timebackchange", listener);
  }

  function ready() {
    return new Promise((resolve) => {
      const stop = subscribe(check);
      function check() {
        if (get() === null) return;
        stop();
        resolve(get());
      }
      check();
    });
  }

  return { get, subscribe, ready };
}
