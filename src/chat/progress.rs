//! How far the files of a conversation have come that are on their way: one line on a screen, which changes; through pipes a
//! line for each quarter, and none of what is there in a moment.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::Progress;
use service::clock;
use tokio::sync::{Notify, watch};

/// How often a screen shows how far they are, at most.
const TICK: Duration = Duration::from_millis(250);
/// How long nothing is said of a file through a pipe.
const QUIET: Duration = Duration::from_secs(3);
/// Files that a screen names; of more their number is shown.
const NAMED_MAX: usize = 2;

/// Files on their way. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Underway {
    rows: Arc<Mutex<Vec<Row>>>,
    begun: Arc<Notify>,
}

#[derive(Debug)]
struct Row {
    name: String,
    progress: watch::Receiver<Progress>,
    /// Quarters that a line has told of, and when it did.
    told: (u64, Instant),
}

impl Row {
    /// Octets that are there, and all of them.
    fn far(&self) -> (u64, u64) {
        let Progress { octets, total } = *self.progress.borrow();
        (octets, total.unwrap_or_default().max(octets).max(1))
    }

    fn percent(&self) -> u64 {
        let (octets, all) = self.far();
        u64::try_from(u128::from(octets) * 100 / u128::from(all)).unwrap_or(100)
    }
}

/// Ends with the transfer, however it ends.
struct Shown<'a> {
    underway: &'a Underway,
    progress: watch::Receiver<Progress>,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let gone = |row: &Row| row.progress.same_channel(&self.progress);
        self.underway.rows().retain(|row| !gone(row));
    }
}

impl Underway {
    /// Shows how far this file is until that is over.
    pub(super) async fn until<T>(
        &self,
        name: &str,
        progress: watch::Receiver<Progress>,
        over: impl Future<Output = T>,
    ) -> T {
        let row =
            Row { name: name.to_owned(), progress: progress.clone(), told: (0, clock::now()) };
        self.rows().push(row);
        let _shown = Shown { underway: self, progress };
        self.begun.notify_one();
        over.await
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A moment later, if anything is on its way.
    pub(super) async fn tick(&self) {
        while self.rows().is_empty() {
            self.begun.notified().await;
        }
        tokio::time::sleep(TICK).await;
    }

    /// What a screen shows.
    pub(super) fn line(&self) -> Option<String> {
        let rows = self.rows();
        let named = rows.iter().take(NAMED_MAX);
        let mut parts: Vec<String> =
            named.map(|row| format!("{} {} %", row.name, row.percent())).collect();
        match rows.len().saturating_sub(NAMED_MAX) {
            0 => {}
            more => parts.push(format!("{more} more files")),
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// What is said through a pipe, of each quarter once.
    pub(super) fn lines(&self, now: Instant) -> Vec<String> {
        let due = |row: &mut Row| {
            let quarters = (row.percent() / 25).min(3);
            let (told, at) = row.told;
            if quarters <= told || now.saturating_duration_since(at) < QUIET {
                return None;
            }
            row.told = (quarters, now);
            let ((octets, all), percent) = (row.far(), row.percent());
            Some(format!("* {}: {percent} % ({octets} of {all} octets)", row.name))
        };
        self.rows().iter_mut().filter_map(due).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(octets: u64, total: Option<u64>) -> Progress {
        Progress { octets, total }
    }

    /// Files on their way, of which this is said, and what says it.
    async fn under_way<T>(
        underway: &Underway,
        all: &[(&str, &watch::Sender<Progress>)],
        look: impl FnOnce() -> T,
    ) -> T {
        match all {
            [] => look(),
            [(name, progress), rest @ ..] => {
                let rest = Box::pin(under_way(underway, rest, look));
                underway.until(name, progress.subscribe(), rest).await
            }
        }
    }

    #[tokio::test]
    async fn a_screen_shows_how_far_files_are_in_one_line_until_they_are_over() {
        let underway = Underway::default();
        let [one, two] = [10, 0].map(|octets| watch::Sender::new(progress(octets, Some(40))));
        let more = watch::Sender::new(progress(0, None));
        assert_eq!(underway.line(), None);

        let all = [("plan.txt", &one), ("map.png", &two), ("x", &more), ("y", &more)];
        let shown = under_way(&underway, &all, || {
            two.send_replace(progress(39, Some(40)));
            underway.line()
        });

        assert_eq!(shown.await.as_deref(), Some("plan.txt 25 %, map.png 97 %, 2 more files"));
        assert_eq!(underway.line(), None);
    }

    #[tokio::test]
    async fn a_pipe_is_told_of_each_quarter_once_and_nothing_of_what_is_there_in_a_moment() {
        let (underway, far) = (Underway::default(), watch::Sender::new(progress(0, Some(1_000))));
        let begun = clock::now();

        let all = [("plan.txt", &far)];
        let lines = under_way(&underway, &all, || {
            let mut said = Vec::new();
            for (secs, octets) in
                [(0, 990), (4, 240), (8, 250), (9, 500), (12, 510), (16, 600), (20, 1_000)]
            {
                far.send_replace(progress(octets, Some(1_000)));
                said.extend(underway.lines(begun + Duration::from_secs(secs)));
            }
            said
        });

        let line = |percent, octets| format!("* plan.txt: {percent} % ({octets} of 1000 octets)");
        assert_eq!(lines.await, [line(25, 250), line(51, 510), line(100, 1_000)]);
        assert!(underway.lines(begun + Duration::from_mins(1)).is_empty());
    }

    #[tokio::test]
    async fn who_looks_is_woken_when_a_file_begins() {
        let (underway, far) = (Underway::default(), watch::Sender::new(progress(0, None)));
        let looking = underway.clone();
        let look = tokio::spawn(async move { looking.tick().await });
        tokio::task::yield_now().await;

        let woken = underway.until("plan.txt", far.subscribe(), look).await;

        assert!(woken.is_ok());
    }
}
