// Questions to the server, and what it answers when it cannot.

export class Problem extends Error {
  constructor(body, status, retryAfter) {
    super(body.what);
    this.body = body;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const GONE = {
  error: "Gone",
  what: "The server does not answer",
  why: "it was ended, or the connection is lost",
  fix: "start it again: molspace serve; this page goes on by itself",
};

async function answer(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    body = { error: "Unreadable", what: `the server answered ${response.status}`, why: "", fix: "" };
  }
  if (!response.ok) {
    const after = Number(response.headers.get("Retry-After")) || 0;
    throw new Problem(body, response.status, after);
  }
  return body;
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(GONE, 0, 0);
  }
  return answer(response);
}

export const get = (path, signal) => asked(path, { signal });

export const isAbort = (error) => error.name === "AbortError";

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(new DOMException("", "AbortError")); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });

// A busy server is asked again, a few times, until the question is out of date.
export async function post(path, body, signal) {
  for (let turn = 0; ; turn += 1) {
    try {
      return await asked(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal,
      });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 503 || turn === 4) throw error;
      await pause(1000 * (error.retryAfter || 1), signal);
    }
  }
}

export function upload(file, modality, signal) {
  const query = new URLSearchParams({ name: file.name });
  if (modality) query.set("modality", modality);
  return asked(`/api/uploads?${query}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: file,
    signal,
  });
}
