//! The tables, as the README shows them.

use std::fmt::Write as _;

use camlane_measure::{Table, number};
use peers_drive::{Job, Size};

use crate::cell::subject;
use crate::results::Results;
use crate::targets;

/// Everything, in Markdown.
pub(crate) fn all(results: &Results) -> String {
    let mut text = String::new();
    let mut add = |title: &str, table: Option<Table>| {
        if let Some(table) = table {
            let _ = write!(text, "### {title}\n\n{table}\n");
        }
    };
    add("Targets", targets::table(results));
    add("Polling: stamp before publish until the consumer has read the first bytes, ns", polling(results));
    add("Asleep, FHD: the same, and what the publish costs, us", asleep(results));
    add("A camera's stream, FHD: latency, and processor time per frame, us", stream(results));
    add("Loan and publish without the fill, against readers, ns", readers(results));
    add("Highest rate, every frame copied in whole and every line read, frames per second", rate(results));
    add("Open to first frame, us", attach(results));
    add("Python, FHD: one frame, us", python(results));
    add("Who took part", Some(entries(results)));
    add("Who did not, and what failed", absent(results));
    format!("{}{text}", head(results))
}

fn head(results: &Results) -> String {
    let usage = results.usage;
    format!(
        "{}\n\nUnix time {}, {} rounds in turn, {:.0} s; load {:.1}, {:.1} % of the processors' time stolen. Producer and \
         consumers are processes pinned to different processors, ordinary priority. Timer: {:?}, {:.0} ns for two readings. \
         Medians of the rounds' medians; percentiles over all samples.\n\n",
        results.machine.line(),
        results.machine.time,
        results.rounds,
        usage.seconds,
        usage.load,
        usage.steal * 100.0,
        results.timer.source,
        results.timer.cost_ns,
    )
}

/// The rows of a job, in the order of the entries.
fn rows(results: &Results, job: Job) -> Vec<String> {
    let entries = results.entries.iter().flat_map(|entry| {
        let ways = entry.jobs.iter().filter(|(can, _)| *can == job).flat_map(|(_, ways)| ways);
        ways.map(|way| subject(&entry.name, *way)).collect::<Vec<_>>()
    });
    entries.collect()
}

/// A table with a row for each subject that has a figure; cells are functions of the subject.
type Column<'a> = (String, Box<dyn Fn(&str) -> Option<f64> + 'a>);

fn table(results: &Results, job: Job, columns: &[Column<'_>]) -> Option<Table> {
    let titles: Vec<String> = columns.iter().map(|(title, _)| format!(" {title}")).collect();
    let mut table =
        Table::new(&std::iter::once("").chain(titles.iter().map(String::as_str)).collect::<Vec<_>>());
    let mut empty = true;
    for subject in rows(results, job) {
        let cells: Vec<Option<f64>> = columns.iter().map(|(_, value)| value(&subject)).collect();
        if cells.iter().any(Option::is_some) {
            empty = false;
            let cells = cells.into_iter().map(|cell| cell.map_or_else(|| "-".to_owned(), number));
            table.row(std::iter::once(subject).chain(cells));
        }
    }
    (!empty).then_some(table)
}

fn column<'a>(title: impl Into<String>, value: impl Fn(&str) -> Option<f64> + 'a) -> Column<'a> {
    (title.into(), Box::new(value))
}

fn median<'a>(results: &'a Results, title: &str, measure: String, scale: f64) -> Column<'a> {
    column(title, move |subject| Some(results.median(&measure, subject)? * scale))
}

fn at<'a>(results: &'a Results, title: &str, measure: String, share: f64, scale: f64) -> Column<'a> {
    column(title, move |subject| Some(results.at(&measure, subject, share)? * scale))
}

fn polling(results: &Results) -> Option<Table> {
    let mut columns = Vec::new();
    for size in Size::ALL {
        let touched = format!("polling {size} touched").to_lowercase();
        columns.push(median(results, &size.to_string(), touched.clone(), 1.0));
        if size == Size::Fhd {
            columns.push(at(results, "FHD p99", touched.clone(), 0.99, 1.0));
            columns.push(median(results, "FHD held", "polling fhd held".into(), 1.0));
            columns
                .push(column("FHD / line", move |subject| results.ratio(&touched, subject, targets::LINE)));
        }
    }
    table(results, Job::Polling, &columns)
}

fn asleep(results: &Results) -> Option<Table> {
    let mut columns = Vec::new();
    for readers in [1, 2, 4] {
        columns.push(median(results, &format!("n={readers}"), format!("asleep {readers} touched"), 1e-3));
        if readers == 1 {
            columns.push(at(results, "n=1 p99", "asleep 1 touched".into(), 0.99, 1e-3));
        }
    }
    for readers in [1, 4] {
        columns.push(median(
            results,
            &format!("publish n={readers}"),
            format!("asleep {readers} publish"),
            1e-3,
        ));
    }
    table(results, Job::Asleep, &columns)
}

fn stream(results: &Results) -> Option<Table> {
    let columns = [
        median(results, "60 fps p50", "stream 60 touched".into(), 1e-3),
        at(results, "p90", "stream 60 touched".into(), 0.9, 1e-3),
        median(results, "producer", "stream 60 producer's us".into(), 1.0),
        median(results, "consumer", "stream 60 consumer's us".into(), 1.0),
        median(results, "30 fps p50", "stream 30 touched".into(), 1e-3),
        median(results, "producer", "stream 30 producer's us".into(), 1.0),
        median(results, "consumer", "stream 30 consumer's us".into(), 1.0),
    ];
    table(results, Job::Stream, &columns)
}

fn readers(results: &Results) -> Option<Table> {
    let mut columns = Vec::new();
    for (doing, counts) in
        [("silent", &[0, 1, 4, 16, 64][..]), ("turning", &[1, 4, 16, 64]), ("polling", &[1, 4])]
    {
        for count in counts {
            let title = format!("{count} {doing}");
            columns.push(median(results, &title, format!("readers {doing} {count} publish"), 1.0));
        }
    }
    table(results, Job::Readers, &columns)
}

fn rate(results: &Results) -> Option<Table> {
    let columns = Size::ALL.map(|size| {
        median(results, &size.to_string(), format!("rate {size} per second").to_lowercase(), 1.0)
    });
    table(results, Job::Rate, &columns)
}

fn attach(results: &Results) -> Option<Table> {
    let columns = [
        median(results, "p50", "attach attach".into(), 1e-3),
        at(results, "p99", "attach attach".into(), 0.99, 1e-3),
    ];
    table(results, Job::Attach, &columns)
}

fn python(results: &Results) -> Option<Table> {
    let columns = [
        median(results, "borrow + view + release", "python borrow".into(), 1e-3),
        median(results, "publish", "python publish".into(), 1e-3),
    ];
    table(results, Job::Python, &columns)
}

fn entries(results: &Results) -> Table {
    let mut table = Table::new(&["", "version", "set up as"]);
    for entry in &results.entries {
        table.row([&entry.name, &entry.version, &entry.setup]);
    }
    table
}

fn absent(results: &Results) -> Option<Table> {
    let mut table = Table::new(&["what", "why"]);
    for missing in &results.missing {
        let (who, why) = missing.split_once(": ").unwrap_or((missing, ""));
        table.row([who, why]);
    }
    for failure in results.failures() {
        table.row([format!("{}, {}", failure.measure, failure.subject), failure.reason.clone()]);
    }
    for (counts, what) in [(&results.torn, "torn frames"), (&results.lost, "lost frames")] {
        for (who, count) in counts {
            table.row([who.clone(), format!("{count} {what}")]);
        }
    }
    let empty = results.missing.is_empty()
        && results.failures().is_empty()
        && results.torn.is_empty()
        && results.lost.is_empty();
    (!empty).then_some(table)
}
