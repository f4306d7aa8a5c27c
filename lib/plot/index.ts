// Plots as SVG text, for reports: `longspan/plot`.
export { type Figure, type FigureSize, figure } from "./figure.js";
export { type HeatMap, type HeatMaps, heatMaps, type HeatMapSize } from "./heat-map.js";
export { type LinePlot, linePlot, type PlotSize, type Series, palette } from "./line-plot.js";
export type { AxisOptions, ScaleKind } from "./scale.js";
