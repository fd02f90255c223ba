// The documentation page is dark where the reader's system is: Swagger UI has the colours, and a button to choose them
// in a bar that this page leaves out. It runs in the head, so that nothing is shown in the other colours first.
"use strict";

{
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  const chooseColours = () => document.documentElement.classList.toggle("dark-mode", wantsDark.matches);
  wantsDark.addEventListener("change", chooseColours);
  chooseColours();
}
