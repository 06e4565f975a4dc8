//! What every message must have (RFC 3261, 8.1.1), checked once when it is decoded: nobody behind the decoder meets a
//! request that cannot be answered or a response that belongs to nothing.
use super::head::{Fault, Head, Start};
use crate::header::BadHeader;

pub(super) fn check(head: &Head) -> Result<(), Fault> {
    let headers = &head.headers;
    let fault = |why: &'static str| move |_: BadHeader| Fault::new(why);
    headers.vias().map_err(fault("bad Via"))?;
    headers.via().map_err(fault("no Via"))?;
    headers.from().map_err(fault("no From, or a bad one"))?;
    headers.to().map_err(fault("no To, or a bad one"))?;
    headers.call_id().map_err(fault("no Call-ID, or a bad one"))?;
    let cseq = headers.cseq().map_err(fault("no CSeq, or a bad one"))?;
    headers.max_forwards().map_err(fault("bad Max-Forwards"))?;
    match &head.start {
        Start::Request { method: Some(method), .. } if cseq.method != *method => {
            Err(Fault::new("CSeq names another method"))
        }
        _ => Ok(()),
    }
}
