//! What can be typed behind `conclave`. Only the grammar: what each command does is in the module of its name.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use conclave::servers::ServerCommand;

use crate::db::Db;
use crate::demo::Plant;
use crate::operate::grammar::Operate;

/// A group-keyed MSRP conference server.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play the main job end to end on loopback and say whether every promise was kept
    Demo(Demo),
    /// Keep a system running on loopback to play with; prints how to join
    Dev(Dev),
    /// Join a conference from the terminal
    Chat(Chat),
    /// Send a file to a person, sealed for the two
    Send(Send),
    /// Wait for files of people and save them
    Receive(Receive),
    #[command(flatten)]
    Operate(Operate),
    /// Look after the database of the conference focus
    Db {
        #[command(subcommand)]
        command: Db,
    },
    /// Run the conference focus
    Mrfc {
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// Run the relay
    Mrfp {
        #[command(subcommand)]
        command: ServerCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Print one JSON object instead of the story
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the system's files and logs in this folder
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// Plant a breach, to see the demo fail
    #[arg(long, hide = true)]
    pub(crate) plant: Option<Plant>,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Where SIP listens; the other listeners take free ports
    #[arg(long, default_value = "127.0.0.1:5061")]
    pub(crate) sip: SocketAddr,
    /// Users to create, each with a password of its own
    #[arg(long, value_delimiter = ',', default_value = "alice,bob,carol,dave,erin")]
    pub(crate) users: Vec<String>,
    /// Where `conclave chat` finds the system
    #[arg(long, default_value = "conclave-dev")]
    pub(crate) folder: PathBuf,
}

/// What a script learns of how a chat has ended.
const CHAT_CODES: &str = "Exit codes: 0 ended here, in order; 1 failed, or something that was held never went out; 2 wrongly typed; \
                          5 the connection was lost; 6 removed by a moderator, or the conference was ended; 7 this device was taken back";

#[derive(Debug, Args)]
#[command(after_help = CHAT_CODES)]
pub(crate) struct Chat {
    /// The conference; it is created if nobody is in it
    pub(crate) room: String,
    /// Who you are: a user of the system
    #[arg(long = "as")]
    pub(crate) name: String,
    /// The folder of the system, as `conclave dev` made it
    #[arg(long, default_value = "conclave-dev")]
    pub(crate) folder: PathBuf,
    /// Lines in, lines out: for pipes and scripts
    #[arg(long)]
    pub(crate) plain: bool,
    /// Take part without your name: the others see a pseudonym of this conference
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Where this device keeps its keys and what it has seen [default: state-NAME in the folder of the system]
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
    /// A file with the passphrase its state is encrypted under [default: a key made in a file beside the state]
    #[arg(long)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Where received files go [default: downloads in the folder of the system]
    #[arg(long)]
    pub(crate) downloads: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The file
    pub(crate) file: PathBuf,
    /// Who gets it: a user of the system, or an address
    #[arg(long)]
    pub(crate) to: String,
    /// Who you are: a user of the system
    #[arg(long = "as")]
    pub(crate) name: String,
    /// Ask the other side to show it, as an image that is shared
    #[arg(long)]
    pub(crate) show: bool,
    /// Send it without a seal: for clients that know none. Whoever the session passes can read it
    #[arg(long)]
    pub(crate) clear: bool,
    /// The folder of the system, as `conclave dev` made it
    #[arg(long, default_value = "conclave-dev")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// Who you are: a user of the system
    #[arg(long = "as")]
    pub(crate) name: String,
    /// Take files of these people only [default: of everybody]
    #[arg(long)]
    pub(crate) from: Vec<String>,
    /// How many files to wait for
    #[arg(long, default_value_t = 1)]
    pub(crate) count: u32,
    /// The folder of the system, as `conclave dev` made it
    #[arg(long, default_value = "conclave-dev")]
    pub(crate) folder: PathBuf,
    /// Where received files go [default: downloads in the folder of the system]
    #[arg(long)]
    pub(crate) downloads: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn chat_takes_a_room_and_a_name() {
        let cli = Cli::try_parse_from(["conclave", "chat", "lobby", "--as", "alice"]).unwrap();

        let Command::Chat(chat) = cli.command else { panic!("not chat: {cli:?}") };
        assert_eq!((chat.room.as_str(), chat.name.as_str(), chat.plain), ("lobby", "alice", false));
    }
}
