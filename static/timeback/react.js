// `useTimeback()` for React: the client that Python has published, or null as long as it has not.

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { timebackStore } from "./store.js";

export function useTimeback(name = "timeback") {
  const store = useMemo(() => timebackStore(name), [name]);
  const timeback = useSyncExternalStore(store.subscribe, store.get, () => null);
  const mounted = useRef(false);
  useEffect(() => {
    mounted.current = true;
    return () => {
      mounted.current = false;
    };
  }, []);
  return useMemo(() => timeback && whileMounted(timeback, mounted), [timeback]);
}

// A component that loads its progress first may be gone when it comes to start: nobody would end that activity.
function whileMounted(timeback, mounted) {
  const start = (options) => {
    if (!mounted.current) throw new Error(`${options?.id}: not started, because its component is gone`);
    return timeback.activity.start(options);
  };
  return Object.create(timeback, {
    activity: { enumerable: true, value: Object.create(timeback.activity, { start: { enumerable: true, value: start } }) },
  });
}
