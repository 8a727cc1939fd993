"""The few kinds of panels that the dashboards are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableHide,
    VariableRefresh,
    VariableSort,
)

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_COLUMNS = 24
_STAT_HEIGHT, _GRAPH_HEIGHT = 4, 8
NODES = 'instance=~"$instance"'
"""The label matcher of every query: the nodes that were chosen above."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query and what its lines are called, as Grafana's legend format."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, large.

    Attributes:
        title: Its name.
        expr: The query.
        unit: Grafana's unit.
        text: What it means and what is good.
        bad_from: From here on it is red; None leaves it plain.
        bad_below: Below this it is red.
    """

    title: str
    expr: str
    unit: str
    text: str
    bad_from: float | None = None
    bad_below: float | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time.

    Attributes:
        title: Its name.
        queries: What is drawn.
        unit: Grafana's unit.
        text: What it means and what is good.
    """

    title: str
    queries: Sequence[Query]
    unit: str
    text: str


def quantiles(histogram: str, by: str = "") -> list[Query]:
    """Return the median and the 99th percentile of a histogram, for each value of a label or over all."""
    group, name = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    rate = f"sum by ({group}) (rate({histogram}_bucket{{{NODES}}}[$__rate_interval]))"
    return [
        Query(f"histogram_quantile({share}, {rate})", f"{text}{name}") for share, text in ((0.5, "p50"), (0.99, "p99"))
    ]


def rates(counter: str, by: str = "") -> list[Query]:
    """Return what a counter grows by a second, for each value of a label or over all."""
    rate = f"(rate({counter}{{{NODES}}}[$__rate_interval]))"
    return [Query(f"sum by ({by}) {rate}", f"{{{{{by}}}}}") if by else Query(f"sum {rate}", "all nodes")]


def build(uid: str, title: str, text: str, figures: Sequence[Figure], graphs: Sequence[Graph]) -> dashboard.Dashboard:
    """Lay a dashboard out: figures in one row on top, graphs two by two below."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["recorder"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Data source"))
        .with_variable(_instances())
        .link(
            dashboard.DashboardLink("Recorder")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["recorder"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    width = _COLUMNS // max(1, len(figures))
    for index, figure in enumerate(figures):
        place = GridPos(h=_STAT_HEIGHT, w=width, x=index * width, y=0)
        board.with_panel(_figure(figure).id(index + 1).grid_pos(place))
    top = _STAT_HEIGHT if figures else 0
    for index, graph in enumerate(graphs):
        row, column = divmod(index, 2)
        place = GridPos(h=_GRAPH_HEIGHT, w=_COLUMNS // 2, x=column * _COLUMNS // 2, y=top + row * _GRAPH_HEIGHT)
        board.with_panel(_graph(graph).id(len(figures) + index + 1).grid_pos(place))
    return board


def _instances() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("instance")
        .label("Node")
        .query("label_values(recorder_build_info, instance)")
        .datasource(_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .hide(VariableHide.DONT_HIDE)
    )


def _figure(figure: Figure) -> stat.Panel:
    return (
        stat.Panel()
        .title(figure.title)
        .description(figure.text)
        .datasource(_SOURCE)
        .unit(figure.unit)
        .thresholds(_thresholds(figure))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(prometheus.Dataquery().expr(figure.expr).datasource(_SOURCE).ref_id("A"))
    )


def _thresholds(figure: Figure) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if figure.bad_from is not None:
        steps.append(Threshold(value=figure.bad_from, color="red"))
    if figure.bad_below is not None:
        steps = [Threshold(value=None, color="red"), Threshold(value=figure.bad_below, color="green")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _graph(graph: Graph) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.text)
        .datasource(_SOURCE)
        .unit(graph.unit)
        .min(0)
        .fill_opacity(8)
        .line_width(2)
        .legend(
            VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for index, query in enumerate(graph.queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(_SOURCE)
        panel.with_target(target.ref_id(chr(ord("A") + index)))
    return panel
