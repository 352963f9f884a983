// The PDF shows the heat map that is on the screen.

const link = document.getElementById("report-pdf");

link.addEventListener("click", () => {
  const address = new URL(link.href);
  const chosen = document.querySelector("#findings a[aria-current=true]");
  if (chosen) address.searchParams.set("finding", chosen.dataset.label);
  else address.searchParams.delete("finding");
  link.href = address;
});
