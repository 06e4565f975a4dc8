//! A plot as inline SVG: axes with ticks people can read, lines, cells, marks, and a label at the end of each line. Pure.
use std::fmt::Write as _;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 78.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;
/// The height of a label.
const LABEL: f64 = 14.0;

/// Where values lie on one side of a plot.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
    name: String,
}

impl Axis {
    /// From 0 or `from` to a round number above `to`, so that nothing is drawn along the upper edge.
    pub(super) fn linear(name: &str, from: f64, to: f64, label: impl Fn(f64) -> String) -> Self {
        let step = round_step((to - from).max(f64::MIN_POSITIVE) / 5.0);
        let mut ticks = Vec::new();
        let mut at = (from / step).ceil() * step;
        while at <= to + step {
            ticks.push((at, label(at)));
            at += step;
        }
        let to = ticks.last().map_or(to, |(at, _)| at.max(to));
        Self { from, to, log: false, ticks, name: name.to_owned() }
    }

    /// The same, and no further than `to`.
    pub(super) fn until(name: &str, to: f64, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::linear(name, 0.0, to, label);
        axis.to = to.max(f64::MIN_POSITIVE);
        axis.ticks.retain(|(at, _)| *at <= to);
        axis
    }

    /// Powers of ten, with 2 and 5 between them if there are few.
    pub(super) fn log(name: &str, from: f64, to: f64, label: impl Fn(f64) -> String) -> Self {
        let (from, to) = (from.max(1.0), to.max(from.max(1.0) * 2.0));
        let mut ticks = Vec::new();
        let few = to / from < 2000.0;
        let mut decade = 10_f64.powf(from.log10().floor());
        while decade <= to {
            for factor in [1.0, 2.0, 5.0] {
                let at = decade * factor;
                if (factor == 1.0 || few) && at >= from && at <= to {
                    ticks.push((at, label(at)));
                }
            }
            decade *= 10.0;
        }
        Self { from, to, log: true, ticks, name: name.to_owned() }
    }

    /// With ticks of its own, on a logarithmic scale.
    pub(super) fn own(name: &str, from: f64, to: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { from, to, log: true, ticks, name: name.to_owned() }
    }

    fn share(&self, value: f64) -> f64 {
        let of = |value: f64| if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let (from, to) = (of(self.from), of(self.to));
        ((of(value) - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A plot that is being drawn.
#[derive(Debug)]
pub(super) struct Plot {
    x: Axis,
    y: Axis,
    body: String,
    /// Labels at the right, by their height: moved apart at the end.
    labels: Vec<(f64, String, &'static str)>,
}

impl Plot {
    pub(super) fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, body: String::new(), labels: Vec::new() }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT);
        let up = HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM);
        (across, up)
    }

    fn put(&mut self, text: &str) {
        self.body.push_str(text);
    }

    /// A line with its name behind its last point.
    pub(super) fn line(&mut self, name: &str, color: &'static str, points: &[(f64, f64)]) {
        let Some(last) = points.last() else { return };
        let mut path = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let (x, y) = self.at(*x, *y);
            // Writing to a string does not fail.
            let _always = write!(path, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" });
        }
        let height = self.at(last.0, last.1).1;
        self.put(&format!("<path class=\"line\" style=\"stroke:var(--{color})\" d=\"{path}\"/>"));
        self.labels.push((height, name.to_owned(), color));
    }

    /// A rectangle between two points, as dark as `weight` (0 to 1).
    pub(super) fn cell(&mut self, from: (f64, f64), to: (f64, f64), weight: f64, says: &str) {
        let ((left, bottom), (right, top)) = (self.at(from.0, from.1), self.at(to.0, to.1));
        let (width, height) = ((right - left).max(0.5), (bottom - top).max(0.5));
        self.put(&format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             style=\"fill:var(--heat)\" fill-opacity=\"{weight:.2}\"><title>{}</title></rect>",
            escape(says)
        ));
    }

    /// Everything up to `x` is shaded.
    pub(super) fn shade(&mut self, x: f64, says: &str) {
        let ((left, top), (right, bottom)) = (self.at(0.0, f64::MAX), self.at(x, 0.0));
        if right - left < 2.0 {
            return;
        }
        self.put(&format!(
            "<rect class=\"band\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             style=\"fill:var(--soft)\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            right - left,
            bottom - top,
            left + 4.0,
            top + 14.0,
            escape(says)
        ));
    }

    /// A vertical mark.
    pub(super) fn mark(&mut self, x: f64, says: &str) {
        let ((x, top), (_, bottom)) = (self.at(x, f64::MAX), self.at(x, 0.0));
        self.put(&format!(
            "<path class=\"mark\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 4.0,
            top + 12.0,
            escape(says)
        ));
    }

    /// The plot.
    pub(super) fn svg(mut self, title: &str) -> String {
        let mut frame = String::new();
        let (left, bottom) = (LEFT, HEIGHT - BOTTOM);
        for (value, label) in &self.y.ticks {
            let (_, y) = self.at(self.x.from, *value);
            let _always = write!(
                frame,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                left - 6.0,
                y + 4.0,
                escape(label)
            );
        }
        for (value, label) in &self.x.ticks {
            let (x, _) = self.at(*value, self.y.from);
            let _always = write!(
                frame,
                "<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                escape(label)
            );
        }
        let _always = write!(
            frame,
            "<path class=\"axis\" d=\"M{left} {bottom}H{}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT,
            HEIGHT - 2.0,
            escape(&self.x.name)
        );
        let labels = self.apart();
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{frame}{}{labels}</svg>",
            escape(&format!("{title}: {} over {}", self.y.name, self.x.name)),
            self.body
        )
    }

    /// The labels, far enough from each other to be read.
    fn apart(&mut self) -> String {
        self.labels.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut lowest = TOP;
        for (height, ..) in &mut self.labels {
            *height = height.max(lowest);
            lowest = *height + LABEL;
        }
        let mut highest = HEIGHT - BOTTOM;
        for (height, ..) in self.labels.iter_mut().rev() {
            *height = height.min(highest);
            highest = *height - LABEL;
        }
        let mut text = String::new();
        for (y, name, color) in &self.labels {
            let _always = write!(
                text,
                "<text class=\"label\" x=\"{}\" y=\"{:.1}\" style=\"fill:var(--{color})\">{}</text>",
                WIDTH - RIGHT + 6.0,
                y + 4.0,
                escape(name)
            );
        }
        text
    }
}

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_that_enclose_what_is_shown() {
        let of = |to: f64| {
            let axis = Axis::linear("", 0.0, to, |at| format!("{at}"));
            axis.ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };

        assert_eq!(of(97.0), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(of(4.0), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(of(1300.0), ["0", "500", "1000", "1500"]);
    }

    #[test]
    fn what_lies_outside_is_drawn_at_the_edge_and_not_beyond() {
        let axis =
            |log| Axis { from: 10.0, to: 1000.0, log, ticks: Vec::new(), name: String::new() };

        assert_eq!((axis(true).share(0.0), axis(true).share(1e9)), (0.0, 1.0));
        assert!((axis(true).share(100.0) - 0.5).abs() < 1e-9);
        assert_eq!(axis(false).share(505.0), 0.5);
    }

    #[test]
    fn labels_do_not_lie_on_each_other() {
        let axis = || Axis::linear("", 0.0, 10.0, |at| format!("{at}"));
        let mut plot = Plot::new(axis(), axis());
        for name in ["one", "two", "three"] {
            plot.line(name, "a", &[(0.0, 0.0), (10.0, 5.0)]);
        }

        let svg = plot.svg("");

        let heights: Vec<f64> = svg
            .split("class=\"label\"")
            .skip(1)
            .map(|label| {
                label.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(heights.windows(2).all(|two| two[1] - two[0] >= 14.0), "{heights:?}");
    }

    #[test]
    fn markup_in_names_is_text() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
