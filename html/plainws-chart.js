// plainws-chart.js: the numbers of a topic as lines over time. It needs plainws.js before it.
//
//   <div data-chart="kitchen/temperature"></div>
//   <script src="/plainws.js"></script>
//   <script src="/plainws-chart.js"></script>
//
//   plainws.chart(element, 'kitchen/temperature');  // the same, for an element made by a script
//
// It begins with what the server has kept, and goes on live. An object of numbers is several lines, six
// at most. Pointing at it, touching it, or the arrow keys tell a value and its time. The element is
// hidden while there is no number.
plainws.chart = (() => {
  'use strict';
  const KEPT = 500; // values
  const HEIGHT = 200, LEFT = 52, RIGHT = 12, TOP = 22, BOTTOM = 40; // pixels
  // Seen on white and on black; lines differ by their dashes, too.
  const LOOKS = [['#2f7de1', ''], ['#d9443a', '8 4'], ['#2a8f4a', '2 3'], ['#9b5de5', '10 3 2 3'],
    ['#a8740a', '14 5'], ['#12899a', '4 6']];

  function add(parent, element, attributes = {}, text = '') {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(text);
    parent.append(element);
    return element;
  }
  const html = (parent, tag, ...rest) => add(parent, document.createElement(tag), ...rest);
  const svg = (parent, tag, ...rest) => add(parent, document.createElementNS('http://www.w3.org/2000/svg', tag), ...rest);
  const line = (parent, [ink, dashes], tag, place) =>
    svg(parent, tag, { fill: 'none', stroke: ink, 'stroke-width': 2, 'stroke-dasharray': dashes, ...place });

  const clock = (time) => (Date.now() - time < 72e6 ? time.toLocaleTimeString() : time.toLocaleString());
  const told = ({ time, values }) => clock(time) + ': '
    + Object.entries(values).map(([label, value]) => (label ? `${label} ${value}` : value)).join(', ');

  const compact = new Intl.NumberFormat('en', { notation: 'compact' });
  const short = (number) => (Math.abs(number) < 1e5 ? `${Number(number.toPrecision(6))}` : compact.format(number));

  // Three to five round numbers from below the least to above the greatest.
  function ticks(numbers) {
    let [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    if (low === high) [low, high] = [low - (Math.abs(low) / 10 || 1), high + (Math.abs(high) / 10 || 1)];
    const rough = (high - low) / 3, ten = 10 ** Math.floor(Math.log10(rough));
    const step = ([1, 2, 5, 10].find((by) => by * ten >= rough) ?? 10) * ten;
    const first = Math.floor(low / step), count = Math.min(10, Math.ceil(high / step) - first);
    return Array.from({ length: count + 1 }, (_, n) => (first + n) * step);
  }

  return function chart(element, name) {
    let points = [], at = null, isGap = true; // what is read; whether some may be missing
    let frame = 0, x = () => 0; // of a point

    const picture = html(element, 'div', {
      role: 'slider', tabindex: 0, 'aria-valuemin': 1,
      'aria-label': `${name} over time; the arrow keys go from value to value`,
    });
    const readout = html(element, 'p'), legend = html(element, 'ul', { role: 'list' });
    // By properties: a page's policy may forbid the attribute.
    element.style.fontVariantNumeric = 'tabular-nums';
    picture.style.touchAction = 'pan-y';
    Object.assign(readout.style, { margin: '.5rem 0', minHeight: '1.5em' });
    Object.assign(legend.style, { display: 'flex', flexWrap: 'wrap', gap: '.25rem 1.25rem', margin: 0, padding: 0, listStyle: 'none' });
    element.hidden = true;

    function take(value, { version, time }) {
      const isObject = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
      const numbers = Object.entries(isObject ? value : { '': value }).filter(([, one]) => Number.isFinite(one));
      if (numbers.length === 0 || points.some((point) => point.version === version)) return;
      points.push({ version, time, values: Object.fromEntries(numbers.slice(0, LOOKS.length)) });
      points = points.sort((a, b) => a.version - b.version).slice(-KEPT);
    }

    async function load() {
      isGap = false;
      const { ok, body } = await plainws.request(`topic/${name}?history`);
      for (const line of ok ? body.trim().split('\n') : []) {
        const { version, time, value } = JSON.parse(line);
        take(value, { version, time: new Date(time) });
      }
      redraw();
    }

    function redraw() { // a topic may change a thousand times a second
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        draw();
      });
    }

    function draw() {
      element.hidden = points.length === 0;
      if (element.hidden) return;
      if (!points.includes(at)) at = null;
      const labels = [...new Set(points.flatMap((point) => Object.keys(point.values)))].slice(0, LOOKS.length);
      const marks = ticks(points.flatMap((point) => labels.map((label) => point.values[label]).filter(Number.isFinite)));
      const [low, high] = [marks[0], marks.at(-1)], [first, last] = [points[0], points.at(-1)];
      const width = picture.clientWidth, right = width - RIGHT, bottom = HEIGHT - BOTTOM;
      const y = (value) => TOP + (high - value) / (high - low) * (bottom - TOP);
      x = ({ time }) => LEFT + (time - first.time) / (last.time - first.time || 1) * (right - LEFT);

      picture.replaceChildren();
      const drawing = svg(picture, 'svg', { width, height: HEIGHT, 'aria-hidden': true, fill: 'currentColor', 'font-size': 13 });
      Object.assign(drawing.style, { display: 'block', overflow: 'visible' });
      for (const mark of marks) {
        svg(drawing, 'line', { x1: LEFT, x2: right, y1: y(mark), y2: y(mark), stroke: 'currentColor', 'stroke-opacity': .2 });
        svg(drawing, 'text', { x: LEFT - 8, y: y(mark) + 4, 'text-anchor': 'end' }, short(mark));
      }
      svg(drawing, 'text', { x: 0, y: 10 }, labels.length === 1 ? labels[0] || 'value' : 'values');
      svg(drawing, 'text', { x: LEFT, y: bottom + 20 }, clock(first.time));
      if (first !== last) svg(drawing, 'text', { x: right, y: bottom + 20, 'text-anchor': 'end' }, clock(last.time));
      svg(drawing, 'text', { x: (LEFT + right) / 2, y: HEIGHT - 2, 'text-anchor': 'middle' }, 'time');
      if (at) svg(drawing, 'line', { x1: x(at), x2: x(at), y1: TOP, y2: bottom, stroke: 'currentColor' });

      legend.replaceChildren();
      labels.forEach((label, n) => {
        const own = points.filter((point) => label in point.values);
        const place = (point) => [x(point), y(point.values[label])].map((pixels) => pixels.toFixed(1));
        line(drawing, LOOKS[n], 'polyline', { points: own.map(place).join(' ') });
        for (const point of own.length > 30 ? own.filter((point) => point === at || point === last) : own) {
          const [cx, cy] = place(point);
          svg(drawing, 'circle', { cx, cy, r: point === at ? 5 : 2.5, fill: LOOKS[n][0] });
        }
        if (labels.length === 1) return;
        const item = html(legend, 'li'), sample = svg(item, 'svg', { width: 32, height: 8, 'aria-hidden': true });
        line(sample, LOOKS[n], 'line', { x2: 32, y1: 4, y2: 4 });
        item.append(` ${label}`);
      });
      readout.textContent = at ? told(at) : `${points.length} value${points.length === 1 ? '' : 's'} since ${clock(first.time)}`;
      const aria = { max: points.length, now: points.indexOf(at ?? last) + 1, text: told(at ?? last) };
      for (const [name, value] of Object.entries(aria)) picture.setAttribute(`aria-value${name}`, value);
    }

    function read(point) {
      at = point;
      draw();
    }
    for (const type of ['pointermove', 'pointerdown']) {
      picture.addEventListener(type, (event) => {
        const pointed = event.clientX - picture.getBoundingClientRect().left;
        const far = (point) => Math.abs(x(point) - pointed);
        read(points.reduce((best, point) => (far(point) < far(best) ? point : best)));
      });
    }
    picture.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && read(null));
    picture.addEventListener('blur', () => read(null));
    picture.addEventListener('keydown', (event) => {
      const last = points.length - 1, now = at ? points.indexOf(at) : last + 1;
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      read(points[Math.min(Math.max(to, 0), last)]);
    });
    new ResizeObserver(redraw).observe(picture);

    return plainws.topic(name, (value, info) => {
      if (value === undefined) points = [];
      else if (isGap) load();
      take(value, info);
      redraw();
    }, { status(state) { if (state === 'open') isGap = true; } });
  };
})();

for (const element of document.querySelectorAll('[data-chart]')) {
  if (element.dataset.chart) plainws.chart(element, element.dataset.chart);
}
