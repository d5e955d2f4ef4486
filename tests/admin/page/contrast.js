// Texts whose contrast with what is behind them is below the 4.5 to 1 that WCAG 2 asks for, as "text: ratio".
const channels = color => {
  const [r, g, b, alpha = 1] = color.match(/[\d.]+/g).map(Number);
  return [r, g, b, alpha];
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const over = (top, share, bottom) => [0, 1, 2].map(channel => top[channel] * share + bottom[channel] * (1 - share));
const behind = element => {
  if (!element) return [255, 255, 255];
  const color = channels(getComputedStyle(element).backgroundColor);
  return over(color, color[3], behind(element.parentElement));
};
const opacity = element => {
  let product = 1;
  for (let at = element; at; at = at.parentElement) product *= Number(getComputedStyle(at).opacity);
  return product;
};
const texts = [...document.querySelectorAll('input, select')].map(field => [field.name, field]);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) texts.push([walker.currentNode.textContent.trim(), walker.currentNode.parentElement]);
const weak = [];
for (const [text, element] of texts) {
  if (!text || element.closest('.skip') || !element.checkVisibility()) continue;
  const back = behind(element), ink = channels(getComputedStyle(element).color);
  const seen = over(ink, ink[3] * opacity(element), back);
  const [one, other] = [light(seen), light(back)].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  if (ratio < 4.5) weak.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return weak;
