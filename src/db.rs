//! `conclave db`: what an operator does with the focus's whole database, beside the focus. Which database it is, the
//! focus's own configuration says.
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mrfc::database::{self, Engine, Force, Location, Trouble};

use crate::operate::{Failure, Kind};

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Bring the tables up to date; the focus does the same when it starts
    Migrate {
        #[command(flatten)]
        of: Of,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Look whether the database is sound, and say what is wrong, where, and how to mend it
    Verify {
        #[command(flatten)]
        of: Of,
    },
    /// Take a backup, also while the focus runs
    Backup {
        #[command(flatten)]
        of: Of,
        /// The file to write: a SQLite database, whatever it is taken from
        #[arg(long)]
        to: PathBuf,
    },
    /// Put a backup back; the focus is stopped meanwhile, and its conferences begin anew
    Restore {
        #[command(flatten)]
        of: Of,
        /// The file that `conclave db backup` wrote
        #[arg(long)]
        from: PathBuf,
        /// Replace the database that is there
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The configuration of the focus (TOML), which names its database
    #[arg(long)]
    config: PathBuf,
}

/// Does it, and prints what was done.
///
/// # Errors
/// [`Failure`], which says what, where, and how to mend it.
#[expect(clippy::print_stdout, reason = "the answer is what this command prints")]
pub(crate) async fn run(command: Db) -> anyhow::Result<()> {
    match command {
        Db::Migrate { of, dry_run } => {
            let location = mrfc::database_of(&of.config)?;
            let steps = if dry_run {
                database::pending(&location).await
            } else {
                database::migrate(&location).await
            };
            let steps = steps.map_err(|why| told(&why, &location))?;
            let done = if dry_run { "would be made" } else { "made" };
            for step in &steps {
                println!("{done}: {:04} {}", step.version, step.about);
            }
            println!("{location}: {} changes {done}", steps.len());
        }
        Db::Verify { of } => {
            let location = mrfc::database_of(&of.config)?;
            let found = database::verify(&location).await.map_err(|why| told(&why, &location))?;
            for finding in &found {
                println!("{}\n  where  {}\n  mend   {}", finding.what, finding.place, finding.mend);
            }
            if !found.is_empty() {
                let what = format!("{} things are not as they should be", found.len());
                return Err(Failure::new(Kind::Failed, what, location, "see above").into());
            }
            println!("{location}: sound");
            if location.engine() == Engine::Postgres {
                println!("the server's own files are for pg_amcheck and data checksums to look at");
            }
        }
        Db::Backup { of, to } => {
            let location = mrfc::database_of(&of.config)?;
            database::backup(&location, &to).await.map_err(|why| told(&why, &location))?;
            println!("{location}: backed up to {}", to.display());
        }
        Db::Restore { of, from, force } => {
            let location = mrfc::database_of(&of.config)?;
            let force = if force { Force::Yes } else { Force::No };
            let now = service::clock::wall();
            let restored = database::restore(&from, &location, force, now).await;
            let restored = restored.map_err(|why| not_restored(&why, &location, &from))?;
            println!("{location}: {} put back", from.display());
            if let Some(replaced) = restored.replaced {
                println!("what was there is now {}", replaced.display());
            }
            println!("{} conferences begin anew when the focus starts", restored.conferences);
        }
    }
    Ok(())
}

fn not_restored(why: &Trouble, location: &Location, from: &Path) -> Failure {
    match why {
        Trouble::Unsound(_) => {
            let mend = "take another backup; --force takes one that is not sound";
            Failure::new(Kind::Failed, why, from.display(), mend)
        }
        Trouble::Backup(why) => {
            let mend = "name a file that `conclave db backup` has made";
            Failure::new(Kind::Failed, in_full(why), from.display(), mend)
        }
        Trouble::Exists(_) => {
            let mend = "--force replaces it; a file is kept beside as .replaced";
            Failure::new(Kind::Failed, "a database is there", location, mend)
        }
        why => told(why, location),
    }
}

fn told(why: &Trouble, location: &Location) -> Failure {
    let mend = match why {
        Trouble::Missing => "the configuration names it; `conclave db migrate` makes an empty one",
        Trouble::Exists(_) => "name a file that is not there",
        Trouble::InUse { .. } => "stop that focus, and wait for the end of its lease",
        Trouble::Behind(_) => "bring the tables up to date: conclave db migrate",
        Trouble::Later(_) => "use the version of conclave that wrote it, or a later one",
        Trouble::Unsound(_) | Trouble::Backup(_) => "conclave db verify says what is wrong",
        Trouble::File { .. } => "see that the folder is there and may be written",
        Trouble::Store(_) => "see that it can be reached, and that the account may change tables",
    };
    match why {
        // Where something was to be put, and not what it was of.
        Trouble::Exists(path) => Failure::new(Kind::Failed, "a file is there already", path, mend),
        Trouble::File { path, why } => Failure::new(Kind::Failed, why, path.display(), mend),
        why => Failure::new(Kind::Failed, in_full(why), location, mend),
    }
}

/// What is wrong, and why, down to the first cause.
fn in_full(why: &Trouble) -> String {
    let mut what = why.to_string();
    let mut cause = std::error::Error::source(why);
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    what
}
