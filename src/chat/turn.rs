//! What happens in a conversation beside what is typed, for both ways to show it; and its end: what has come by then is
//! shown, and what comes later waits for the next time.
use client::{Arrival, Conference, Event, Events, Invitations, Roster};

use ids::Aor;

use super::{Next, Table, mail, roster, told};

/// Something that is to be shown.
pub(super) enum Happened {
    Event(Option<Event>),
    Arrival(Arrival),
    /// What has taken a while.
    Later(String),
    /// Files on their way have come further, perhaps.
    Further,
    Roster(Option<Roster>),
    /// A conference calls this device, which has taken the call.
    Called(Option<(Conference, Events)>),
    /// The process is to end.
    Stop,
}

/// Waits for the next thing. Nothing is lost if nobody waits to the end.
pub(super) async fn next(table: &mut Table<'_>) -> Happened {
    tokio::select! {
        () = table.stop.triggered() => Happened::Stop,
        event = table.events.next() => Happened::Event(event),
        arrival = mail::next(&mut table.inbox) => Happened::Arrival(arrival),
        Some(line) = table.later.1.recv() => Happened::Later(line),
        () = table.files.underway.tick() => Happened::Further,
        now = next_roster(&mut table.watch) => Happened::Roster(now),
        called = next_call(&mut table.invitations) => Happened::Called(called),
    }
}

/// It in lines, and what comes next.
pub(super) async fn lines(happened: Happened, table: &mut Table<'_>) -> (Vec<String>, Next) {
    let lines = match happened {
        Happened::Event(Some(Event::Ended { reason })) => return (Vec::new(), Next::Over(reason)),
        Happened::Event(Some(event)) => told(&event, table).await.into_iter().collect(),
        Happened::Event(None) => {
            return (Vec::new(), Next::Over("its connection is gone".to_owned()));
        }
        Happened::Stop => return (Vec::new(), Next::Quit),
        Happened::Arrival(arrival) => mail::arrived(arrival, table).into_iter().collect(),
        // It was told otherwise meanwhile.
        Happened::Further => Vec::new(),
        Happened::Later(line) if line.is_empty() => Vec::new(),
        Happened::Later(line) => vec![line],
        Happened::Roster(Some(now)) => {
            let members = table.room.status().roster.into_iter().map(|device| device.aor);
            // Here on another device one is not away.
            let others: Vec<Aor> = members.filter(|who| who != table.me).collect();
            let changes = roster::changes(&table.known, &now, (table.me, table.domain), &others);
            table.known = now;
            changes
        }
        Happened::Roster(None) => {
            table.watch = None;
            Vec::new()
        }
        Happened::Called(Some((conference, _events))) => {
            let id = conference.id().clone();
            // Nobody is there who would follow it; it is a member, and comes when its person wants to.
            conference.away().await;
            vec![format!("* you are called into {id}: to go there, /quit and join {id}")]
        }
        Happened::Called(None) => {
            table.invitations = None;
            Vec::new()
        }
    };
    (lines, Next::Go)
}

/// The end of the conversation: what has come and was not shown yet.
pub(super) async fn rest(table: &mut Table<'_>) -> Vec<String> {
    table.events.close();
    table.inbox.close();
    let mut lines = Vec::new();
    while let Some(event) = table.events.next().await {
        lines.extend(told(&event, table).await);
    }
    while let Some(arrival) = table.inbox.next().await {
        // Nobody can answer what wants an answer.
        if !matches!(arrival, Arrival::Call(_) | Arrival::File(_) | Arrival::Wanted(_)) {
            lines.extend(mail::arrived(arrival, table));
        }
    }
    lines.extend(table.unread.take());
    while let Ok(line) = table.later.1.try_recv() {
        lines.push(line);
    }
    lines
}

/// The next roster, if anything is told of it.
async fn next_roster(watch: &mut Option<client::Watch>) -> Option<Roster> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

async fn next_call(invitations: &mut Option<Invitations>) -> Option<(Conference, Events)> {
    match invitations {
        Some(invitations) => invitations.next().await,
        None => std::future::pending().await,
    }
}
