// Commands that send a request.

import { shellWord } from "./format.js";

/** A header as an argument. Without a semicolon, curl would take an empty value for a header to leave out. */
const argument = ([name, value]) => (value === "" ? `${name};` : `${name}: ${value}`);

/**
 * The command that sends a request with these headers: with a text as its body, or with a file. `said` has sentences that become comments
 * above the command.
 */
export function curl({ url, headers, text, file, said = [] }) {
  const words = ["curl", "-i"];
  // curl takes these characters in a URL for patterns.
  if (/[[\]{}]/.test(url)) words.push("--globoff");
  for (const header of headers) words.push("-H", argument(header));
  // curl would send another content type.
  if (!headers.some(([name]) => name.toLowerCase() === "content-type")) words.push("-H", "Content-Type:");
  // With `--data-binary`, a text that begins with an @ would be the name of a file.
  words.push(...(file === undefined ? ["--data-raw", text] : ["--data-binary", `@${file}`]), url);
  return [...said.map((sentence) => `# ${sentence}`), words.map(shellWord).join(" ")].join("\n");
}
