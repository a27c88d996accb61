// One clip sounds at a time; a line runs over its picture, and a click there plays from that moment.
// Without this script the players work all the same.
const players = [...document.querySelectorAll("audio")];
for (const player of players) {
  const heat = player.closest(".clip").querySelector(".heat");
  const line = heat && heat.querySelector("i");
  const draw = () => {
    if (!heat) return;
    line.style.left = `${Math.min(100, 100 * player.currentTime / heat.dataset.seconds)}%`;
    line.classList.toggle("shown", player.currentTime > 0);
    if (!player.paused) requestAnimationFrame(draw);
  };
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
    draw();
  });
  player.addEventListener("seeked", draw);
  if (heat) heat.addEventListener("click", (event) => {
    const box = heat.getBoundingClientRect();
    player.currentTime = heat.dataset.seconds * (event.clientX - box.left) / box.width;
    player.play();
  });
}
