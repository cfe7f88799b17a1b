//! Plots as SVG: a few lines over common axes, readable on light and on dark paper.
//!
//! Colours are those of Okabe and Ito, which people with colour-blind eyes tell apart; each line also carries its name at
//! its end. The file adapts to the reader's preference by itself (`prefers-color-scheme`), also as `<img>`.

use core::fmt::Write as _;

/// How an axis is divided.
#[derive(Clone, PartialEq, Debug)]
pub enum Axis {
    /// From 0, even steps.
    Linear,
    /// Powers of ten.
    Log,
    /// Shares of all samples, 0 to 1, by how few are beyond: 0, 0.9, 0.99, 0.999 stand at even distances.
    Share,
    /// The points' own numbers at even distances.
    Steps(Vec<f64>),
}

/// One line.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// A limit, drawn dashed and grey.
    pub is_limit: bool,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Below the title: what was measured.
    pub subtitle: String,
    /// Name and division of the horizontal axis.
    pub x: (String, Axis),
    /// Name and division of the vertical axis.
    pub y: (String, Axis),
    /// How a value of the vertical axis is written.
    pub y_text: fn(f64) -> String,
    /// What is drawn.
    pub lines: Vec<Line>,
    /// In small letters at the bottom: machine, date, version.
    pub source: String,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
/// The edges of the area that lines are drawn in. Right of it stand their names.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 400.0;
/// Names of lines are at least so far apart.
const NAME_HEIGHT: f64 = 19.0;

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#24292f}\
.title{font-size:17px;font-weight:600}.soft{fill:#57606a}.small{font-size:11px;fill:#57606a}\
.paper{fill:#ffffff}.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#8c959f;stroke-width:1}\
path{fill:none;stroke-width:2.4;stroke-linejoin:round;stroke-linecap:round}\
.limit{stroke:#6e7781;stroke-dasharray:6 5;stroke-width:2}.to{stroke-width:1;opacity:.6}\
.c0{stroke:#0072b2}.c1{stroke:#d55e00}.c2{stroke:#009e73}.c3{stroke:#cc79a7}.c4{stroke:#b58900}.c5{stroke:#3a9fd6}\
circle{stroke-width:0}.d0{fill:#0072b2}.d1{fill:#d55e00}.d2{fill:#009e73}.d3{fill:#cc79a7}.d4{fill:#b58900}\
.d5{fill:#3a9fd6}.dlimit{fill:#6e7781}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft,.small{fill:#9198a1}.paper{fill:#0d1117}\
.grid{stroke:#262c36}.axis{stroke:#656c76}.limit{stroke:#9198a1}.dlimit{fill:#9198a1}\
.c0{stroke:#4aa8e0}.d0{fill:#4aa8e0}.c1{stroke:#f0883e}.d1{fill:#f0883e}.c2{stroke:#2fc79a}.d2{fill:#2fc79a}\
.c3{stroke:#e29cc5}.d3{fill:#e29cc5}.c4{stroke:#e3b341}.d4{fill:#e3b341}}";

impl Plot {
    /// Draws it.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points).filter(|point| self.shows(point));
        let x = Scale::new(&self.x.1, points().map(|point| point.0), (LEFT, RIGHT));
        let y = Scale::new(&self.y.1, points().map(|point| point.1), (BOTTOM, TOP));
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
             <title>{}</title><style>{STYLE}</style><rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\
             <text class=\"title\" x=\"24\" y=\"32\">{}</text><text class=\"soft\" x=\"24\" y=\"54\">{}</text>",
            escaped(&self.title),
            escaped(&self.title),
            escaped(&self.subtitle)
        );
        self.axes(&mut svg, &x, &y);
        let names = self.lines.iter().map(|line| {
            let last = line.points.iter().rfind(|point| self.shows(point));
            last.map_or(BOTTOM, |point| y.at(point.1))
        });
        let names = spread(&names.collect::<Vec<_>>());
        let mut colour = 0;
        for (line, name_y) in self.lines.iter().zip(names) {
            let key = if line.is_limit { "limit".to_owned() } else { format!("{}", colour % 6) };
            colour += u32::from(!line.is_limit);
            self.line(&mut svg, line, &key, name_y, (&x, &y));
        }
        let _ = writeln!(
            svg,
            "<text class=\"small\" x=\"24\" y=\"{}\">{}</text></svg>",
            HEIGHT - 16.0,
            escaped(&self.source)
        );
        svg
    }

    /// A logarithm has no place for 0, nor a share for 1.
    fn shows(&self, &(x, y): &(f64, f64)) -> bool {
        let shows = |axis: &Axis, value: f64| match axis {
            Axis::Log => value > 0.0,
            Axis::Share => (0.0..1.0).contains(&value),
            Axis::Linear | Axis::Steps(_) => true,
        };
        x.is_finite() && y.is_finite() && shows(&self.x.1, x) && shows(&self.y.1, y)
    }

    fn axes(&self, svg: &mut String, x: &Scale, y: &Scale) {
        for value in y.marks() {
            let at = y.at(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"soft\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 10.0,
                at + 4.5,
                escaped(&(self.y_text)(value))
            );
        }
        for value in x.marks() {
            let at = x.at(value);
            let text = if self.x.1 == Axis::Share { share_text(value) } else { format!("{value}") };
            let _ = write!(
                svg,
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{}\"/>\
                 <text class=\"soft\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{}\">{text}</text>",
                BOTTOM + 5.0,
                BOTTOM + 21.0
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\
             <text class=\"soft\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{}\">{}</text>\
             <text class=\"soft\" text-anchor=\"middle\" transform=\"translate(20 {:.1}) rotate(-90)\">{}</text>",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 42.0,
            escaped(&self.x.0),
            f64::midpoint(TOP, BOTTOM),
            escaped(&self.y.0)
        );
    }

    fn line(&self, svg: &mut String, line: &Line, key: &str, name_y: f64, (x, y): (&Scale, &Scale)) {
        let class = if line.is_limit { "limit".to_owned() } else { format!("c{key}") };
        let shown: Vec<(f64, f64)> = line
            .points
            .iter()
            .filter(|point| self.shows(point))
            .map(|point| (x.at(point.0), y.at(point.1)))
            .collect();
        let Some(&(end_x, end_y)) = shown.last() else { return };
        let _ = write!(svg, "<path class=\"{class}\" d=\"");
        for (index, (x, y)) in shown.iter().enumerate() {
            let _ = write!(svg, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
        }
        svg.push_str("\"/>");
        for (x, y) in shown.iter().filter(|_| shown.len() <= 12) {
            let _ = write!(svg, "<circle class=\"d{key}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"/>");
        }
        let _ = write!(
            svg,
            "<path class=\"{class} to\" d=\"M{end_x:.1} {end_y:.1}L{:.1} {name_y:.1}\"/>\
             <circle class=\"d{key}\" cx=\"{:.1}\" cy=\"{name_y:.1}\" r=\"4.5\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            RIGHT + 12.0,
            RIGHT + 18.0,
            RIGHT + 29.0,
            name_y + 4.5,
            escaped(&line.name)
        );
    }
}

/// From values to places.
#[derive(Debug)]
struct Scale {
    axis: Axis,
    low: f64,
    high: f64,
    edges: (f64, f64),
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, edges: (f64, f64)) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 10.0) };
        let (low, high) = match axis {
            Axis::Linear => {
                let step = step_of(high.max(f64::MIN_POSITIVE));
                (0.0, (high / step).ceil().max(1.0) * step)
            }
            Axis::Log => {
                let (low, high) = (low.log10().floor(), high.log10().ceil());
                (low, high.max(low + 1.0))
            }
            Axis::Share => (0.0, nines(high).max(1.0)),
            Axis::Steps(steps) => (0.0, steps.len().saturating_sub(1).max(1) as f64),
        };
        Self { axis: axis.clone(), low, high, edges }
    }

    fn at(&self, value: f64) -> f64 {
        let value = match &self.axis {
            Axis::Linear => value,
            Axis::Log => value.log10(),
            Axis::Share => nines(value),
            Axis::Steps(steps) => steps.iter().position(|step| *step == value).unwrap_or(0) as f64,
        };
        let share = (value - self.low) / (self.high - self.low);
        self.edges.0 + share * (self.edges.1 - self.edges.0)
    }

    /// The values that are written beside the axis.
    fn marks(&self) -> Vec<f64> {
        // A logarithm of a round number may be a little less than whole.
        let whole = |low: f64, high: f64| (low as i32..=(high + 1e-9) as i32).map(f64::from);
        match &self.axis {
            Axis::Linear => {
                let step = step_of(self.high);
                whole(0.0, (self.high / step).round()).map(|index| index * step).collect()
            }
            Axis::Log => whole(self.low, self.high).map(|power| 10_f64.powf(power)).collect(),
            Axis::Share => {
                let mut marks = vec![0.0, 0.5];
                marks.extend(whole(1.0, self.high).map(|nines| 1.0 - 10_f64.powf(-nines)));
                marks
            }
            Axis::Steps(steps) => steps.clone(),
        }
    }
}

/// Steps of 1, 2 or 5 times a power of ten, about five up to `high`.
fn step_of(high: f64) -> f64 {
    let power = 10_f64.powf((high / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| high / (step * power) <= 5.5);
    step.unwrap_or(10.0) * power
}

/// How many nines a share has: 0.99 has two.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// A share as a percentile: `p50`, `p99.9`; 0 is the least of all.
fn share_text(share: f64) -> String {
    if share <= 0.0 { "min".to_owned() } else { format!("p{}", (share * 1e8).round() / 1e6) }
}

/// Moves names apart that would lie on each other, as little as possible: in their order, each at least [`NAME_HEIGHT`]
/// below the one above, and none below the area.
fn spread(wanted: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut places = wanted.to_vec();
    let mut least = f64::NEG_INFINITY;
    for &index in &order {
        places[index] = places[index].max(least);
        least = places[index] + NAME_HEIGHT;
    }
    let mut most = BOTTOM + 4.0;
    for &index in order.iter().rev() {
        places[index] = places[index].min(most);
        most = places[index] - NAME_HEIGHT;
    }
    places
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn plot(lines: Vec<Line>, x: Axis, y: Axis) -> Plot {
        let [title, subtitle, source] = ["a < b", "c & d", "e"].map(str::to_owned);
        Plot { title, subtitle, x: ("x".into(), x), y: ("y".into(), y), y_text: crate::number, lines, source }
    }

    fn line(points: &[(f64, f64)]) -> Line {
        Line { name: "one \"line\"".to_owned(), points: points.to_vec(), is_limit: false }
    }

    #[test]
    fn text_cannot_break_the_drawing() {
        let svg = plot(vec![line(&[(1.0, 1.0)])], Axis::Linear, Axis::Linear).svg();
        assert!(
            svg.contains("a &lt; b") && svg.contains("c &amp; d") && svg.contains("one &quot;line&quot;")
        );
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[rstest]
    #[case::nothing(&[])]
    #[case::one_point(&[(1.0, 5.0)])]
    #[case::zero_and_all(&[(0.0, 0.0), (1.0, 0.0)])]
    #[case::no_numbers(&[(f64::NAN, f64::INFINITY)])]
    fn whatever_is_drawn_lies_in_the_picture(
        #[case] points: &[(f64, f64)],
        #[values(Axis::Linear, Axis::Log, Axis::Share, Axis::Steps(vec![0.0, 1.0]))] x: Axis,
        #[values(Axis::Linear, Axis::Log)] y: Axis,
    ) {
        let svg = plot(vec![line(points)], x, y).svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_logarithm_gives_each_power_of_ten_the_same_room() {
        let scale = Scale::new(&Axis::Log, [150.0, 90_000.0].into_iter(), (0.0, 300.0));
        assert_eq!([100.0, 1e3, 1e4, 1e5].map(|value| scale.at(value).round()), [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(scale.marks().len(), 4);
    }

    #[test]
    fn each_nine_of_a_share_has_the_same_room() {
        let scale = Scale::new(&Axis::Share, [0.0, 0.999].into_iter(), (0.0, 300.0));
        assert_eq!([0.0, 0.9, 0.99, 0.999].map(|share| scale.at(share).round()), [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(
            scale.marks().into_iter().map(share_text).collect::<Vec<_>>(),
            ["min", "p50", "p90", "p99", "p99.9"]
        );
    }

    #[rstest]
    #[case(100.0, 20.0)]
    #[case(713.0, 200.0)]
    #[case(0.9, 0.2)]
    #[case(5.0, 1.0)]
    fn even_steps_are_round_numbers(#[case] high: f64, #[case] step: f64) {
        assert!((step_of(high) - step).abs() < 1e-9, "{}", step_of(high));
    }

    #[test]
    fn names_do_not_lie_on_each_other() {
        let places = spread(&[BOTTOM, BOTTOM, 100.0, BOTTOM - 1.0]);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 1e-9), "{places:?}");
        assert_eq!(places[2], 100.0);
    }
}
