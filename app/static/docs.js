// The contents stand open where there is room for them at the side.
const contents = document.querySelector(".contents");
const roomy = matchMedia("(min-width: 1000px)");
const suit = () => { contents.open = roomy.matches; };
roomy.addEventListener("change", suit);
suit();
