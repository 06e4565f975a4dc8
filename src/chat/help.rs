//! What the slash commands are, in words. Pure.

/// For `/help`.
pub(crate) const HELP: &str = "/invite USER  /kick USER  /file PATH  /nick [NAME] (none: give it up)  /who  /quit or /q (stay a member)  /leave (for good)  /help\n\
    for one person, sealed: /tell USER TEXT or /msg USER TEXT (there or not; several: ann,bob)  /private NICK TEXT (in this room)  /send USER PATH\n\
    files for you: /get (which there are)  /get [NUMBER or NAME]   in the clear, so that servers can read it: /page USER TEXT (or /tell --clear USER TEXT)\n\
    who is who: /verify [USER]  /verified USER  /unverify USER  /accept USER\n\
    your own devices: /devices  /confirm CODE (lets a new one in that shows this code and waits)  /lost DEVICE (take it back for good; the first letters of what /devices shows are enough)\n\
    moderators: /lock  /unlock  /subject TEXT  /ban USER  /unban USER  /mute USER  /unmute USER  /moderator USER  /dismiss USER\n\
    a text that begins with a slash: //TEXT";

/// How each is written.
const WRITTEN: [(&str, &str); 30] = [
    ("invite", "USER"),
    ("kick", "USER"),
    ("file", "PATH"),
    ("nick", "[NAME]"),
    ("who", ""),
    ("quit", ""),
    ("leave", ""),
    ("help", ""),
    ("tell", "USER TEXT"),
    ("msg", "USER TEXT"),
    ("private", "NICK TEXT"),
    ("send", "USER PATH"),
    ("get", "[NUMBER or NAME]"),
    ("page", "USER TEXT"),
    ("verify", "[USER]"),
    ("verified", "USER"),
    ("unverify", "USER"),
    ("accept", "USER"),
    ("devices", ""),
    ("confirm", "CODE"),
    ("lost", "DEVICE"),
    ("lock", ""),
    ("unlock", ""),
    ("subject", "TEXT"),
    ("ban", "USER"),
    ("unban", "USER"),
    ("mute", "USER"),
    ("unmute", "USER"),
    ("moderator", "USER"),
    ("dismiss", "USER"),
];

/// What is said of a line that starts with a slash and is no command: how it is written, if there is one of this name.
pub(super) fn not_understood(line: &str) -> String {
    let word = line.trim_start_matches('/').split(' ').next().unwrap_or_default();
    match WRITTEN.into_iter().find(|(known, _)| *known == word) {
        Some((word, behind)) => format!("! not understood: {line}; it is written /{word} {behind}")
            .trim_end()
            .to_owned(),
        None => format!(
            "! not understood: {line}; /help says what there is, and a text that begins with a slash is written /{line}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_help_as_it_is_written() {
        for (word, behind) in WRITTEN {
            let written = format!("/{word} {behind}");
            assert!(HELP.contains(written.trim_end()), "{written}");
        }
    }

    #[test]
    fn an_incomplete_command_says_how_it_is_written_and_no_command_how_to_say_it() {
        assert_eq!(not_understood("/kick"), "! not understood: /kick; it is written /kick USER");
        assert_eq!(
            not_understood("/who is it"),
            "! not understood: /who is it; it is written /who"
        );
        let path = not_understood("/etc/passwd");
        assert!(
            path.ends_with("a text that begins with a slash is written //etc/passwd"),
            "{path}"
        );
    }
}
