// Says what happens until Python takes over the page, and what to do if it never does.

const TOO_LONG_MS = 60_000;
const status = document.getElementById("status");
const trouble = document.getElementById("trouble");

const isRunning = () => document.documentElement.dataset.python === "running";

function fail(reason) {
  if (isRunning() || !trouble.hidden) return;
  clearTimeout(tooLong);
  document.getElementById("boot").hidden = true;
  status.textContent = "The exercises could not start.";
  trouble.hidden = false;
  trouble.textContent = `Python did not start (${reason}). Reload the page; if that does not help, look at the
    server's output and the browser's console.`;
}

const tooLong = setTimeout(() => fail("it took longer than a minute"), TOO_LONG_MS);

// PyScript says which step it is at.
addEventListener("py:progress", ({ detail }) => {
  if (!isRunning() && trouble.hidden) status.textContent = `Python is starting: ${detail} …`;
});
// A part that is missing on the server: Pyodide waits for some parts for ever, without an error that could be caught.
new PerformanceObserver((list) => {
  for (const { name, responseStatus } of list.getEntries()) {
    const { pathname } = new URL(name);
    if (responseStatus >= 400 && !pathname.startsWith("/api/")) fail(`${pathname} answered ${responseStatus}`);
  }
}).observe({ type: "resource", buffered: true });
// A server that is gone: error events of elements do not bubble, hence the capture.
addEventListener("error", (event) => fail(event.message ?? `${event.target.src ?? event.target.href} failed`), true);
addEventListener("unhandledrejection", (event) => fail(event.reason?.message ?? event.reason));
// PyScript shows a Python error in an element of its own.
new MutationObserver(() => {
  const shown = document.querySelector(".py-error");
  if (!shown) return;
  const lines = shown.textContent.trim().split("\n");
  fail(lines.find((line) => /^[\w.]*(Error|Exception)\b/.test(line) && !line.startsWith("PythonError")) ?? lines.at(-1));
}).observe(document.documentElement, { childList: true, subtree: true });
