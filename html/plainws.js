// plainws.js: live values and messages in a page of your own. A classic script without dependencies.
//
//   <output data-topic="kitchen/temperature"></output>  shows the topic's value; class "stale" while
//                                                       there is no connection
//   <ul data-stream="log" data-last="20"></ul>          gets a line for each message, the last 20 first
//   <p data-status></p>                                 says whether the page is connected
//   <button data-live>…</button>                        is aria-disabled while it is not
//   <script src="/plainws.js"></script>                 from another place: src="http://HOST:PORT/plainws.js",
//                                                       or data-server="http://HOST:PORT/" beside the src
//
//   const lamp = plainws.topic('lamp', (value, info) => { … });  // what it is now, then each change
//   lamp.set(true);     // false if there is no connection: nothing is kept for later
//   lamp.close();
//   const kitchen = plainws.topic('kitchen/*', (value, info) => { … });  // info.topic tells which
//   kitchen.set(21.5, 'kitchen/temperature');
//   const chat = plainws.stream('chat', (message, info) => { … }, { last: 20 });
//   chat.send('hello'); // as set
//   const ws = plainws.socket('ws://…', { open, message, closed, status });  // any WebSocket, kept open
//
// A value is JSON if it can be, or else text, or else bytes (Uint8Array); undefined once it is deleted.
// info: { topic, version or id, time }. The last argument of topic and stream may have more functions:
// users(count), error(text), status(state, text). A state is 'connecting', 'open' or 'lost'.
// plainws.base is the URL that all names are relative to: where the script came from.
window.plainws = (() => {
  'use strict';
  const FIRST = 500, GROWTH = 1.7, LAST = 30000; // delays in milliseconds
  const STEADY = 5000; // a server that accepts and drops does not reset the delay
  const OPEN_TIMEOUT = 10000; // lost packets alone would take minutes to fail
  const ANSWER_TIMEOUT = 10000; // the same for what is sent and never answered
  const QUIET = 25000; // a page sees no pings: after so long a silence it asks by HTTP
  const IN_FLIGHT = 3000; // what is sent already may take so long
  const MAX_LINES = 100; // of an element with data-stream

  const script = document.currentScript;
  const base = new URL(script?.dataset.server ?? '.', script?.src || location.href);
  // From disk: the first default port of the daemon that has everything.
  if (base.protocol === 'file:') base.href = 'http://127.0.0.1:6789/';

  // ---- One WebSocket, kept open ---------------------------------------------------------------

  // closed(code) follows only a connection that was open; if it returns true, the next is made at
  // once. answered: each send is answered by some message; unanswered() if none came in time.
  // isCurrent(response): whether a HEAD of the same URL says what the page knows already.
  function socket(url, on = {}) {
    let ws = null, openedAt = 0, heard = 0, delay = FIRST;
    let timer = 0, unanswered = 0, listening = 0, away = false, over = false;
    const http = url.replace(/^ws/i, 'http');
    // A page's policy may forbid such requests, or another host: then they say nothing.
    let canAsk = http.startsWith(location.origin + '/');

    function connect() {
      clearTimeout(timer);
      on.status?.('connecting', 'Connecting…');
      const own = ws = new WebSocket(on.again?.() || url);
      own.binaryType = 'arraybuffer';
      timer = setTimeout(() => own.close(), OPEN_TIMEOUT);
      own.onopen = () => {
        clearTimeout(timer);
        openedAt = heard = performance.now();
        on.open?.();
        on.status?.('open', 'Connected');
        listen();
      };
      own.onmessage = (event) => {
        clearTimeout(unanswered);
        unanswered = 0;
        heard = performance.now();
        on.message?.(event.data);
      };
      own.onclose = (event) => lost(event.code, event.reason);
    }

    function lost(code, reason) {
      for (const each of [timer, unanswered, listening]) clearTimeout(each);
      if (openedAt && performance.now() - openedAt >= STEADY) delay = FIRST;
      const atOnce = openedAt && on.closed?.(code);
      ws = null;
      openedAt = unanswered = 0;
      if (away || over) return;
      if (atOnce) return connect();
      const why = [1008, 1009, 1013].includes(code) && reason ? `Disconnected: ${reason}.` : 'Disconnected.';
      // Jitter: a thousand pages that lost one server do not come back together.
      countDown(performance.now() + delay * (1 + Math.random()) / 2, why);
      delay = Math.min(delay * GROWTH, LAST);
    }

    function countDown(end, why) {
      const left = end - performance.now();
      if (left <= 0) return connect();
      on.status?.('lost', `${why} Trying again in ${Math.ceil(left / 1000)} s.`);
      timer = setTimeout(countDown, left % 1000 + 1, end, why);
    }

    function drop(code) {
      if (!ws) return;
      ws.onopen = ws.onmessage = ws.onclose = null; // they may come after the next socket was made
      ws.close(1000);
      lost(code);
    }

    function giveUp() {
      on.unanswered?.();
      drop(1006);
    }

    // Looks whether a silent connection is still one, as long as somebody looks at the page.
    function listen() {
      clearTimeout(listening);
      if (!openedAt || document.hidden) return;
      const left = heard + QUIET - performance.now();
      if (left > 0) listening = setTimeout(listen, left);
      else ask(ws, heard);
    }

    async function ask(own, before) {
      let isFine = !canAsk;
      try {
        const signal = AbortSignal.timeout(ANSWER_TIMEOUT);
        const response = await fetch(http, { method: 'HEAD', mode: 'no-cors', cache: 'no-store', signal });
        canAsk = true;
        isFine = on.isCurrent?.(response) ?? true;
        if (!isFine) await new Promise((done) => setTimeout(done, IN_FLIGHT));
      } catch {} // as it was
      if (ws !== own) return;
      if (!isFine && heard === before) return drop(1006);
      heard = Math.max(heard, performance.now() - (isFine ? 0 : QUIET));
      listen();
    }

    const stop = new AbortController(), { signal } = stop;
    const hurry = () => (ws || away ? listen() : connect());
    connect(); // it throws if the URL is none, and then nothing is left behind
    addEventListener('online', () => {
      heard -= QUIET; // the network may be another one
      hurry();
    }, { signal });
    document.addEventListener('visibilitychange', () => document.hidden || hurry(), { signal });
    // An open socket would keep the page out of the back/forward cache.
    addEventListener('pagehide', () => {
      away = true;
      clearTimeout(timer);
      drop(1000);
    }, { signal });
    addEventListener('pageshow', () => {
      if (!away) return; // a first load is connecting already
      away = false;
      connect();
    }, { signal });

    return {
      send(data) {
        if (ws?.readyState !== WebSocket.OPEN) return false;
        ws.send(data);
        if (on.answered) unanswered ||= setTimeout(giveUp, ANSWER_TIMEOUT);
        return true;
      },
      close() {
        over = true;
        stop.abort();
        clearTimeout(timer);
        drop(1000);
      },
    };
  }

  // ---- What the page shows of its connections -------------------------------------------------

  const states = new Map(); // of each connection
  // Shows the worst of them. A status line counts down; screen readers hear only of changes of state.
  // aria-disabled: a button that is really disabled loses the keyboard focus.
  function show(connection, state, text) {
    if (state) states.set(connection, { state, text });
    else states.delete(connection);
    const all = [...states.values()];
    const worst = ['lost', 'connecting', 'open'].map((state) => all.find((one) => one.state === state)).find(Boolean);
    if (!worst) return;
    for (const element of document.querySelectorAll('[data-status]')) {
      element.textContent = worst.text;
      element.className = worst.state === 'connecting' ? '' : worst.state;
    }
    for (const element of document.querySelectorAll('[data-live]')) {
      element.setAttribute('aria-disabled', worst.state !== 'open');
    }
    if (worst.state === 'connecting') return;
    const said = worst.text.split('. Trying')[0];
    for (const element of document.querySelectorAll('[data-spoken]')) {
      if (element.textContent !== said) element.textContent = said;
    }
  }

  // ---- Topics and streams ---------------------------------------------------------------------

  const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

  function text(value) {
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    return typeof value === 'string' ? value : JSON.stringify(value) ?? '';
  }
  const wire = (value) => (ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? value : text(value));

  const url = (path) => new URL(path, base).href.replace(/^http/, 'ws');
  const followed = new Map(); // of each topic, the socket that all its followers share
  function follow(path, follower) {
    const one = followed.get(path) ?? open(path, follower.again);
    if (!follower.again) followed.set(path, one);
    one.followers.add(follower);
    one.catchUp(follower);
    return {
      send: one.send,
      close() {
        if (!one.followers.delete(follower) || one.followers.size > 0) return;
        if (!follower.again) followed.delete(path);
        one.close();
        show(one.followers);
      },
    };
  }

  function open(path, again) {
    const followers = new Set(), known = new Map(); // of each topic, the last value as it was told
    let users, state = ['connecting', 'Connecting…'];
    const all = (what, ...rest) => followers.forEach((follower) => follower[what]?.(...rest));
    const tell = (topic, value, info) => {
      if (value === undefined) known.delete(topic); else known.set(topic, [value, info]);
      all('value', value, info);
    };
    let isTold = false; // whether the value came on this connection
    const one = socket(url(path), {
      again,
      answered: true,
      unanswered: () => all('error', 'No answer came. Please try again.'),
      open: () => { isTold = false; },
      status(...now) {
        state = now;
        show(followers, ...now);
        all('status', ...now);
      },
      isCurrent(response) { // ETag is the version of the one topic
        const version = /"(\d+)"/.exec(response.headers.get('ETag') ?? '')?.[1];
        return !version || known.size !== 1 || [...known.values()][0][1].version >= Number(version);
      },
      message(data) {
        const { type, topic, version, id, time, count, message, ...rest } = JSON.parse(data);
        const value = rest.base64 === undefined ? rest.value ?? rest.data ?? null : bytes(rest.base64);
        const info = { topic, time: time && new Date(time), ...(id ? { id } : { version }) };
        if (type === 'error') all('error', message);
        if (type === 'message') all('value', value, info);
        if (type === 'deleted') tell(topic, undefined, info);
        if (type === 'state') {
          isTold = true;
          const before = known.get(topic)?.[1]; // the same comes again on the next connection
          if (before?.version !== version || +before.time !== +info.time) tell(topic, value, info);
        }
        if (type !== 'users') return;
        // The value comes before: it was deleted while there was no connection.
        if (!isTold && known.has(topic)) tell(topic, undefined, { topic });
        all('users', users = count);
      },
    });
    return {
      ...one,
      followers,
      catchUp(follower) {
        follower.status?.(...state);
        known.forEach((each) => follower.value(...each));
        if (users !== undefined) follower.users?.(users);
      },
    };
  }

  function topic(name, value, more = {}) {
    const { send, close } = follow(`topic/${name}?format=json`, { ...more, value });
    const many = name.endsWith('*');
    return { close, set: (value, topic) => send(many ? JSON.stringify({ topic, value }) : wire(value)) };
  }

  function stream(name, message, { last = 0, ...more } = {}) {
    let newest = 0, at = 0;
    const value = (value, info) => {
      // After a new connection the last ones come again; a stream that began anew has a later time.
      if (info.id <= newest && info.time <= at) return;
      [newest, at] = [info.id, info.time];
      message(value, info);
    };
    const path = (last) => `stream/${name}?format=json&last=${last}`;
    const again = () => newest && url(path(MAX_LINES)); // what it missed
    const { send, close } = follow(path(last), { ...more, value, again });
    return { close, send: (value) => send(wire(value)) };
  }

  // The elements that say what they want to show.
  function fill() {
    const status = (element) => (state) => element.classList.toggle('stale', state !== 'open');
    for (const element of document.querySelectorAll('[data-topic]')) {
      topic(element.dataset.topic, (value) => { element.textContent = text(value); }, { status: status(element) });
    }
    for (const element of document.querySelectorAll('[data-stream]')) {
      const last = Number(element.dataset.last ?? 20);
      stream(element.dataset.stream, (message) => {
        const line = document.createElement(/^[UO]L$/.test(element.tagName) ? 'li' : 'div');
        line.textContent = text(message);
        element.append(line);
        if (element.childElementCount > Math.max(MAX_LINES, last)) element.firstElementChild.remove();
      }, { last, status: status(element) });
    }
  }
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', fill);
  else fill();

  // ---- For the bundled pages ------------------------------------------------------------------

  // The socket of a page whose URL is its socket, too. A site that shows the page as its own names
  // the socket, a path will do: <meta name="plainws-socket" content="/websocket2/">. No link
  // overrules it. Else ?ws= names it; from disk it is on this port.
  function page({ port, ...on }) {
    const meta = document.querySelector('meta[name=plainws-socket]');
    try {
      const asked = meta ? new URL(meta.content, location).href.replace(/^http/, 'ws')
        : new URLSearchParams(location.search).get('ws')
          ?? (location.protocol === 'file:' ? `ws://127.0.0.1:${port}/`
            : location.protocol.replace('http', 'ws') + '//' + location.host + location.pathname);
      const url = asked.split('#')[0];
      if (!/^wss?:\/\//i.test(url)) throw new SyntaxError();
      return socket(url, { ...on, status: (...now) => show('page', ...now) });
    } catch (error) { // the other kind: a ws: URL in an https: page
      show('page', 'lost', error.name === 'SecurityError' ? error.message
        : `${meta ? 'plainws-socket' : '?ws='} must be a ws:// or wss:// URL`);
      return { send: () => false, close() {} };
    }
  }

  // Asks the server by HTTP, within ten seconds; reason says in words why it refused. Who is not
  // known is led to the page for that, and back.
  async function request(path, options) {
    try {
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT);
      const response = await fetch(new URL(path, base), { cache: 'no-store', signal, ...options });
      if (response.status === 401) {
        const back = location.pathname + location.search;
        location.assign(new URL(`login?next=${encodeURIComponent(back)}`, base));
      }
      const body = options?.method === 'HEAD' ? '' : await response.text();
      return { response, body, ok: response.ok, reason: response.ok ? '' : body.trim() || `status ${response.status}` };
    } catch {
      return { ok: false, body: '', reason: 'No answer came. Please try again.' };
    }
  }

  return { base: base.href, socket, topic, stream, show, text, page, request };
})();
