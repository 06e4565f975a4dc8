//! Received files on disk. The name is its author's, so it is only ever a name: no path, nothing that a terminal or a
//! shell takes for something else, and never the name of a file that is there.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Characters of a name.
const NAME_CHARS_MAX: usize = 120;
/// Files of one name.
const SAME_MAX: u32 = 1_000;

/// Writes a file into the folder, under its name or one like it; where it is.
pub(super) fn save(folder: &Path, name: &str, content: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let name = harmless(name);
    for n in 1..=SAME_MAX {
        let path = folder.join(numbered(&name, n));
        // Made anew or not at all: a link that waits under the name is not followed.
        match File::options().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(content)?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
}

/// The name without what could lead elsewhere.
fn harmless(name: &str) -> String {
    // Marks that turn the direction of text round make an ending look like another one.
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() || turns(c) => '_',
        c => c,
    };
    let name: String = name.chars().map(plain).take(NAME_CHARS_MAX).collect();
    // No hidden file, no option of a command, and neither `.` nor `..`.
    let name = name.trim().trim_start_matches(['.', '-', '~']).trim_end_matches(['.', ' ']);
    if name.is_empty() { String::from("file") } else { name.to_owned() }
}

fn numbered(name: &str, n: u32) -> String {
    match (n, name.rsplit_once('.')) {
        (1, _) => name.to_owned(),
        (n, Some((stem, ending))) if !stem.is_empty() => format!("{stem}-{n}.{ending}"),
        (n, _) => format!("{name}-{n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        let cases = [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..\\..\\boot.ini", "_.._boot.ini"),
            (".bashrc", "bashrc"),
            ("..", "file"),
            ("-rf", "rf"),
            ("a\nb\u{1b}[2Jc", "a_b_[2Jc"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("", "file"),
        ];
        for (name, expected) in cases {
            assert_eq!(harmless(name), expected, "{name:?}");
        }
        assert!(harmless(&"x".repeat(500)).len() <= NAME_CHARS_MAX);
    }

    #[test]
    fn nothing_that_is_there_is_written_over_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("downloads");
        let outside = folder.path().join("outside");

        let first = save(&into, "a.txt", b"one").unwrap();
        let second = save(&into, "a.txt", b"two").unwrap();
        std::os::unix::fs::symlink(&outside, into.join("b.txt")).unwrap();
        let third = save(&into, "b.txt", b"three").unwrap();

        assert_eq!(fs::read(first).unwrap(), b"one");
        assert_eq!(second, into.join("a-2.txt"));
        assert_eq!(third, into.join("b-2.txt"));
        assert!(!outside.exists());
    }
}
