//! What the sender of a file says of it beside its octets: it lies under the mailbox's key, bound to its row.
use bytes::Bytes;
use ids::Aor;
use serde::{Deserialize, Serialize};
use sip::sdp::{FileMedia, FileSelector};
use store::FileRow;

use super::super::lock::{Keys, NotLocked};

/// What is said of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Described {
    pub(super) sender: String,
    pub(super) transfer_id: String,
    name: Option<String>,
    pub(super) media_type: Option<String>,
    render: bool,
}

impl Described {
    pub(super) fn of(file: &FileMedia, sender: &Aor) -> Self {
        let FileSelector { name, media_type, .. } = file.selector.clone();
        let render = file.disposition.as_deref() == Some("render");
        let (sender, transfer_id) = (sender.to_string(), file.transfer_id.clone());
        Self { sender, transfer_id, name, media_type, render }
    }

    /// Under the key, for this blob.
    pub(super) fn lock(&self, keys: &Keys, blob: &str) -> Result<Bytes, NotLocked> {
        let text = serde_json::to_vec(self).map_err(|_| NotLocked)?;
        keys.lock(&place(blob), &text)
    }

    pub(super) fn open(keys: &Keys, row: &FileRow) -> Option<Self> {
        serde_json::from_slice(&keys.open(&place(&row.blob), &row.head)?).ok()
    }

    pub(super) fn selector(&self, row: &FileRow) -> FileSelector {
        super::selector((self.name.clone(), self.media_type.clone()), row)
    }

    /// RFC 2183, with the quoting of a selector, in which nothing ends the line or the quotes.
    pub(super) fn content_disposition(&self, octets: u64) -> String {
        let kind = if self.render { "render" } else { "attachment" };
        let named = FileSelector { name: self.name.clone(), ..FileSelector::default() };
        match named.to_string().trim_start_matches("name:") {
            "" => format!("{kind}; size={octets}"),
            name => format!("{kind}; filename={name}; size={octets}"),
        }
    }
}

fn place(blob: &str) -> Vec<u8> {
    format!("file head\n{blob}").into_bytes()
}
