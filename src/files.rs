//! `conclave send` and `conclave receive`: files from person to person, with a bar that shows how far they have come. The
//! bar goes to standard error; what became of a file is a line on standard output.
#![expect(clippy::print_stdout, reason = "standard output is what these commands are for")]
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use client::{
    Arrival, Device, Disposition, FileOffer, FileToSend, FileTransfer, Folder, Icon, Progress,
};
use conclave::system::Directions;
use ids::Aor;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::chat::start_device;
use crate::cli;
use crate::terminal::{address, plain};

/// How often a transfer that broke off is tried again from where it was.
const AGAIN: u32 = 3;
/// How long is waited before that.
const PAUSE: Duration = Duration::from_secs(2);

/// Sends a file to a person.
///
/// # Errors
/// It cannot be read, they do not want it, or it has not arrived.
pub(crate) async fn send(options: cli::Send) -> anyhow::Result<()> {
    let directions = Directions::read(&options.folder)?;
    let who = address(&options.to, &directions.domain)?;
    let media_type = media_type_of(&options.file);
    let mut file = FileToSend::new(&options.file, media_type);
    if options.show {
        file.disposition = Disposition::Render;
    }
    if media_type.starts_with("image/") {
        let path = options.file.clone();
        file.icon = tokio::task::spawn_blocking(move || Icon::of_file(&path)).await?;
    }
    let profile = directions.profile(&options.name)?;
    let started = start_device(&options.folder, &options.name, profile).await;
    let (device, _invitations, _locked) = started.context("registering")?;
    let sent = push(&device, &who, &mut file).await;
    device.stop().await;
    sent
}

async fn push(device: &Device, who: &Aor, file: &mut FileToSend) -> anyhow::Result<()> {
    for attempt in 0.. {
        let mut transfer = device.send_file(who, file).await.context("offering the file")?;
        match shown(&mut transfer, &file.name).await {
            Ok(arrived) => {
                let proven =
                    if arrived.verified { "the receiver has compared it" } else { "unproven" };
                println!("sent {}: {} octets, {proven}", plain(&file.name), arrived.octets);
                return Ok(());
            }
            Err(broken) if broken.is_worth_another_try() && attempt < AGAIN => {
                file.from = broken.go_on_from;
                tokio::time::sleep(PAUSE).await;
            }
            Err(broken) => bail!("{}: {broken}", plain(&file.name)),
        }
    }
    Ok(())
}

/// Waits for files of people and saves them.
///
/// # Errors
/// A file has not arrived whole.
pub(crate) async fn receive(options: cli::Receive) -> anyhow::Result<()> {
    let directions = Directions::read(&options.folder)?;
    let from: Vec<Aor> = options
        .from
        .iter()
        .map(|name| address(name, &directions.domain))
        .collect::<anyhow::Result<_>>()?;
    let profile = directions.profile(&options.name)?;
    let started = start_device(&options.folder, &options.name, profile).await;
    let (device, _invitations, _locked) = started.context("registering")?;
    let downloads = options.downloads.unwrap_or_else(|| options.folder.join("downloads"));
    let (folder, mut inbox) = (Folder::new(downloads), device.inbox());
    println!("waiting for {} file(s)", options.count);
    let mut left = options.count;
    while left > 0 {
        // Calls, messages and requests are for other programs: dropped, this device is busy.
        let Some(arrival) = inbox.next().await else { bail!("the connection is gone") };
        let Arrival::File(offer) = arrival else { continue };
        if !from.is_empty() && !from.contains(offer.from()) {
            offer.decline().await;
            continue;
        }
        match take(offer, &folder).await {
            Ok(line) => {
                println!("{line}");
                left -= 1;
            }
            // Whoever sends it may go on from where it was.
            Err(error) => println!("not received: {error:#}"),
        }
    }
    device.stop().await;
    Ok(())
}

async fn take(offer: FileOffer, folder: &Folder) -> anyhow::Result<String> {
    let name = offer.selector().name.clone().unwrap_or_default();
    let from = offer.from().clone();
    let mut transfer = offer.accept(folder).await?;
    let arrived = shown(&mut transfer, &name).await?;
    let path = arrived.path.unwrap_or_default();
    Ok(format!("received {} from {from}: saved as {}", plain(&name), path.display()))
}

/// Shows a bar until a transfer is over.
async fn shown(
    transfer: &mut FileTransfer,
    name: &str,
) -> Result<client::Arrived, client::Incomplete> {
    let mut progress = transfer.progress();
    let bar = bar(name, &progress);
    let over = tokio::select! {
        over = transfer.finished() => over,
        () = follow(&mut progress, &bar) => transfer.finished().await,
    };
    bar.finish_and_clear();
    over
}

fn bar(name: &str, progress: &watch::Receiver<Progress>) -> ProgressBar {
    let bar = ProgressBar::new(progress.borrow().total.unwrap_or_default());
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(plain(name));
    bar
}

async fn follow(progress: &mut watch::Receiver<Progress>, bar: &ProgressBar) {
    while progress.changed().await.is_ok() {
        let Progress { octets, total } = *progress.borrow_and_update();
        bar.set_length(total.unwrap_or(octets));
        bar.set_position(octets);
    }
}

/// By the ending of the name, for the few types that people look at.
fn media_type_of(path: &Path) -> &'static str {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("txt" | "md") => "text/plain",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_told_by_the_ending_and_what_is_unknown_is_octets() {
        assert_eq!(media_type_of(Path::new("a/B.JPG")), "image/jpeg");
        assert_eq!(media_type_of(Path::new("a.tar.gz")), "application/octet-stream");
        assert_eq!(media_type_of(Path::new(".jpg")), "application/octet-stream");
    }
}
