// Lets the browser paint the head of the page before it executes the scripts, which it loads meanwhile.

const start = () => import("./main.js");

// Nothing is painted in a tab that nobody sees.
if (document.hidden) start();
else requestAnimationFrame(() => setTimeout(start));
