//! `conclave send` and `conclave receive`: files from person to person, sealed for the two unless `--clear` says otherwise,
//! with a bar that shows how far they have come. The bar goes to standard error; what became of a file, and messages that
//! come meanwhile, are lines on standard output.
#![expect(clippy::print_stdout, reason = "standard output is what these commands are for")]
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use client::{
    Announced, Arrival, Arrived, Device, Disposition, FileOffer, FileToSend, FileTransfer, Folder,
    Icon, Progress, SealedFile, Vault,
};
use conclave::system::Directions;
use ids::Aor;
use indicatif::{ProgressBar, ProgressStyle};
use service::shutdown::Shutdown;
use tokio::sync::watch;

use crate::chat::{give_up, message, start_device};
use crate::cli;
use crate::operate::{Failure, Kind};
use crate::terminal::{address, plain};

/// How often a transfer that broke off is tried again from where it was.
const AGAIN: u32 = 3;
/// What is said of a file that servers can read.
const NOT_SEALED: &str = "not sealed";
/// How long is waited before that.
const PAUSE: Duration = Duration::from_secs(2);

/// Sends a file to a person.
///
/// # Errors
/// It cannot be read, they do not want it, or it has not arrived.
pub(crate) async fn send(options: cli::Send) -> anyhow::Result<()> {
    let directions = Directions::read(&options.folder)?;
    let who = address(&options.to, &directions.domain)?;
    let profile = directions.profile(&options.name)?;
    let started = start_device(&options.folder, &options.name, profile).await;
    let (device, _invitations, vault) = started.context("registering")?;
    let sent = match (device.knows(&who).await, options.clear) {
        // A call to nobody may begin a conference of that name.
        (Some(false), _) => Err(client::Error::Nobody(who).into()),
        (_, true) => push_clear(&device, &who, &options).await,
        (_, false) => push_sealed(&device, &who, &options).await,
    };
    stop_device(device, vault).await;
    sent
}

/// One that is kept nowhere, because a chat of its person is running, is of no use any more.
async fn stop_device(device: Device, vault: Option<Vault>) {
    if vault.is_none() {
        give_up(&device).await;
    }
    device.stop().await;
}

/// Seals it for the two: servers see its sealed octets, their number and their hash, and no name.
async fn push_sealed(device: &Device, who: &Aor, options: &cli::Send) -> anyhow::Result<()> {
    let into = options.folder.join("sealed");
    let sealing = SealedFile::new(&options.file, media_type_of(&options.file), &into);
    let sealed = sealing.await?;
    let mut writing = device.announce_to(who, &sealed).await.context("telling them its key")?;
    if let Some(holding) = writing.held().await {
        // Nobody could accept anything here.
        bail!(
            "{} has a device that you have not accepted: see /verify in chat",
            plain(holding.first().map_or("somebody", |who| who.user()))
        );
    }
    writing.done().await.context("telling them its key")?;
    let name = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut file = sealed.to_send();
    if options.show {
        file.disposition = Disposition::Render;
    }
    push(device, who, &mut file, (&name, "sealed", sealed.octets())).await
}

/// Sends it as it is: whoever the session passes can read it.
async fn push_clear(device: &Device, who: &Aor, options: &cli::Send) -> anyhow::Result<()> {
    let media_type = media_type_of(&options.file);
    let mut file = FileToSend::new(&options.file, media_type);
    if options.show {
        file.disposition = Disposition::Render;
    }
    if media_type.starts_with("image/") {
        let path = options.file.clone();
        file.icon = tokio::task::spawn_blocking(move || Icon::of_file(&path)).await?;
    }
    let octets = tokio::fs::metadata(&file.path).await?.len();
    let name = file.name.clone();
    push(device, who, &mut file, (&name, NOT_SEALED, octets)).await
}

async fn push(
    device: &Device,
    who: &Aor,
    file: &mut FileToSend,
    (name, seal, octets): (&str, &str, u64),
) -> anyhow::Result<()> {
    for attempt in 0.. {
        let offered = device.send_file(who, file).await;
        let transfer = offered.map_err(|error| not_taken(error, who, seal))?;
        let with_mailbox = transfer.with_mailbox();
        match watched(transfer, name).await {
            Ok(arrived) => {
                let proven = match (arrived.verified, with_mailbox) {
                    (true, false) => "the receiver has compared it",
                    (true, true) => "it waits in their mailbox",
                    (false, _) => "unproven",
                };
                println!("sent {}, {seal}: {octets} octets, {proven}", plain(name));
                return Ok(());
            }
            Err(broken) if broken.is_worth_another_try() && attempt < AGAIN => {
                file.from = broken.go_on_from;
                tokio::time::sleep(PAUSE).await;
            }
            Err(broken) => bail!("{}: {broken}", plain(name)),
        }
    }
    Ok(())
}

/// Why nobody takes a file, and what can be done.
fn not_taken(error: client::Error, who: &Aor, seal: &str) -> anyhow::Error {
    let who = who.user();
    let way = match &error {
        client::Error::Refused { status: 480, .. } if seal == NOT_SEALED => {
            format!("; {who} is away, and only what is sealed waits: send it without --clear")
        }
        client::Error::Refused { status: 480, .. } => format!("; {who} is away"),
        client::Error::Refused { status: 603, .. } => format!("; {who} does not want it"),
        _ => String::new(),
    };
    anyhow!("offering the file: {error}{way}")
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
    let me = profile.aor.clone();
    let folder = downloads(options.downloads, &options.folder)?;
    let started = start_device(&options.folder, &options.name, profile).await;
    let (device, _invitations, vault) = started.context("registering")?;
    let mut inbox = device.inbox();
    let stop = Shutdown::new();
    stop.on_signals()?;
    println!("waiting for {} file(s)", options.count);
    let mut left_to_come = options.count;
    // What was announced before, and not fetched, comes first.
    let mut before = device.unfetched().all().into_iter();
    while left_to_come > 0 {
        let arrival = tokio::select! {
            arrival = next(&mut before, &mut inbox) => arrival.context("the connection is gone")?,
            () = stop.triggered() => break,
        };
        let offer = match arrival {
            Arrival::File(offer) => offer,
            Arrival::Announced(key) if from.is_empty() || from.contains(&key.from) => {
                let line = tokio::select! {
                    line = left(&device, &me, &key, &folder) => line,
                    () = stop.triggered() => break,
                };
                if let Some(line) = line {
                    println!("{line}");
                    left_to_come -= 1;
                }
                continue;
            }
            // What has waited for this person comes to whatever starts first, and only once.
            arrival => {
                message(&arrival, &me).iter().for_each(|line| println!("{line}"));
                continue;
            }
        };
        if !from.is_empty() && !from.contains(offer.from()) {
            offer.decline().await;
            continue;
        }
        let taken = tokio::select! {
            taken = take(&device, offer, &folder) => taken,
            // What has come of it stays for the next time.
            () = stop.triggered() => break,
        };
        match taken {
            Ok(line) => {
                println!("{line}");
                left_to_come -= 1;
            }
            // Whoever sends it may go on from where it was.
            Err(error) => println!("not received: {error:#}"),
        }
    }
    stop_device(device, vault).await;
    anyhow::ensure!(left_to_come == 0, "ended with {left_to_come} to come");
    Ok(())
}

/// Where received files go. What could be kept nowhere would be lost when it comes, so that is said before anything can.
///
/// # Errors
/// No file can be kept there.
pub(crate) fn downloads(named: Option<PathBuf>, system: &Path) -> Result<Folder, Failure> {
    let folder = Folder::new(named.unwrap_or_else(|| system.join("downloads")));
    folder.prepare().map_err(|why| {
        let what = format!("received files cannot be kept: {why}");
        let mend = "name a folder that you can write to: --downloads DIR";
        Failure::new(Kind::Failed, what, folder.path().display(), mend)
    })?;
    Ok(folder)
}

async fn next(
    before: &mut impl Iterator<Item = Announced>,
    inbox: &mut client::Inbox,
) -> Option<Arrival> {
    match before.next() {
        Some(key) => Some(Arrival::Announced(key)),
        None => inbox.next().await,
    }
}

/// What was left for us while we were away. What is offered now is not there, and comes by itself.
async fn left(device: &Device, me: &Aor, key: &Announced, folder: &Folder) -> Option<String> {
    let transfer = device.fetch_left(me, &key.selector(), folder).await.ok()?;
    let saved = async {
        let arrived = watched(transfer, &key.name).await?;
        landed(arrived, Some(key), folder).await
    };
    let name = plain(&key.name);
    match saved.await {
        Ok(path) => {
            device.unfetched().forget(key);
            Some(format!("received {name}, sealed, from {}: saved as {}", key.from, path.display()))
        }
        Err(error) => {
            println!("not received: {error:#}");
            None
        }
    }
}

async fn take(device: &Device, offer: FileOffer, folder: &Folder) -> anyhow::Result<String> {
    let key = offer.sealed().cloned();
    let name = match &key {
        Some(key) => key.name.clone(),
        None => offer.selector().name.clone().unwrap_or_default(),
    };
    let (from, seal) = (offer.from().clone(), if key.is_some() { "sealed" } else { "not sealed" });
    let arrived = watched(offer.accept(folder).await?, &name).await?;
    let path = landed(arrived, key.as_ref(), folder).await?;
    if let Some(key) = &key {
        device.unfetched().forget(key);
    }
    Ok(format!("received {}, {seal}, from {from}: saved as {}", plain(&name), path.display()))
}

/// Where a file that has come is: behind its seal, if it has one.
///
/// # Errors
/// Its octets are not what was sealed.
pub(crate) async fn landed(
    arrived: Arrived,
    key: Option<&Announced>,
    folder: &Folder,
) -> anyhow::Result<PathBuf> {
    let path = arrived.path.unwrap_or_default();
    Ok(match key {
        Some(key) => key.open(path, folder).await?,
        None => path,
    })
}

/// Shows a bar until a transfer is over, for both sides.
async fn watched(mut transfer: FileTransfer, name: &str) -> Result<Arrived, client::Incomplete> {
    let mut progress = transfer.progress();
    let bar = bar(name, &progress);
    let over = tokio::select! {
        over = transfer.finished() => over,
        () = follow(&mut progress, &bar) => transfer.finished().await,
    };
    bar.finish_and_clear();
    transfer.parted().await;
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
pub(crate) fn media_type_of(path: &Path) -> &'static str {
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
