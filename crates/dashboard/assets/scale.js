// Where times are on a bar. Long times in which nothing happens are cut short, so that what happens can be seen.

/** How much of the bar a gap may take at most, as a part of the time in which something happens, and in milliseconds at least. */
const PART = 0.25;
const LEAST = 1000;

/**
 * A scale from times to numbers from 0 to `width`. `busy` has the beginnings and ends of what happens. Returns the scale, and the gaps
 * that are cut short.
 */
export function scaleOf(from, to, busy, width) {
  const merged = [];
  const inOrder = busy.map(([begin, end]) => [Math.max(from, begin), Math.min(to, end)]).filter(([begin, end]) => end >= begin)
    .sort(([one], [other]) => one - other);
  for (const [begin, end] of inOrder) {
    const last = merged.at(-1);
    if (last && begin <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([begin, end]);
  }
  const executed = merged.reduce((sum, [begin, end]) => sum + end - begin, 0);
  const most = Math.max(LEAST, PART * executed);
  // Pieces of the time, with the length that each is shown with.
  const pieces = [];
  let at = from;
  const add = (end, isGap) => {
    if (end > at) pieces.push({ from: at, to: end, length: isGap ? Math.min(end - at, most) : end - at, isCut: isGap && end - at > most });
    at = Math.max(at, end);
  };
  for (const [begin, end] of merged) {
    add(begin, true);
    add(end, false);
  }
  add(to, true);
  const whole = Math.max(1, pieces.reduce((sum, { length }) => sum + length, 0));
  let sum = 0;
  for (const piece of pieces) {
    piece.at = sum / whole * width;
    sum += piece.length;
    piece.end = sum / whole * width;
  }
  const scale = (ms) => {
    const piece = pieces.find((piece) => ms < piece.to) ?? pieces.at(-1);
    if (!piece) return 0;
    const part = Math.min(1, Math.max(0, (ms - piece.from) / (piece.to - piece.from)));
    return piece.at + part * (piece.end - piece.at);
  };
  return [scale, pieces.filter(({ isCut }) => isCut)];
}
