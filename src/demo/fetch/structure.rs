//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).

use imap_codec::imap_types::body::{
    BasicFields, Body, BodyStructure, Disposition, MultiPartExtensionData, SinglePartExtensionData,
    SpecificFields,
};
use imap_codec::imap_types::core::{IString, NString, Vec1};

use super::{envelope, number, string};
use crate::demo::entity::{Content, Entity};
use crate::demo::header::{self, Parameterized};

type Parameters = Vec<(IString<'static>, IString<'static>)>;

/// BODY: without extension data.
pub(super) fn plain(entity: &Entity<'_>) -> BodyStructure<'static> {
    of(entity, &|_| (None, None))
}

/// BODYSTRUCTURE: with the disposition and, of a multipart, its parameters.
pub(super) fn extended(entity: &Entity<'_>) -> BodyStructure<'static> {
    of(entity, &|entity| {
        let tail = Some(disposition(entity));
        let single = SinglePartExtensionData { md5: NString(None), tail: tail.clone() };
        let multi = MultiPartExtensionData { parameter_list: parameters(&entity.kind), tail };
        (Some(single), Some(multi))
    })
}

type Extension = (Option<SinglePartExtensionData<'static>>, Option<MultiPartExtensionData<'static>>);

fn of(entity: &Entity<'_>, extension: &dyn Fn(&Entity<'_>) -> Extension) -> BodyStructure<'static> {
    let (single, multi) = extension(entity);
    let (main, subtype) = entity.kind.word.split_once('/').unwrap_or(("text", "plain"));
    if let Content::Parts(parts) = &entity.content
        && let Ok(bodies) = Vec1::try_from(parts.iter().map(|part| of(part, extension)).collect::<Vec<_>>())
    {
        return BodyStructure::Multi { bodies, subtype: word(subtype), extension_data: multi };
    }
    let lines = number(entity.lines());
    let specific = match &entity.content {
        Content::Message(inner) => SpecificFields::Message {
            envelope: Box::new(envelope(inner.header)),
            body_structure: Box::new(of(inner, extension)),
            number_of_lines: lines,
        },
        _ if main == "text" => SpecificFields::Text { subtype: word(subtype), number_of_lines: lines },
        // Deeper than we look, or a multipart without a part: neither could be told as what it says it is.
        _ if matches!(main, "multipart" | "message") => {
            SpecificFields::Basic { r#type: word("application"), subtype: word("octet-stream") }
        }
        _ => SpecificFields::Basic { r#type: word(main), subtype: word(subtype) },
    };
    BodyStructure::Single { body: Body { basic: basic(entity, main), specific }, extension_data: single }
}

fn basic(entity: &Entity<'_>, main: &str) -> BasicFields<'static> {
    let text = |name| header::value(entity.header, name).map_or(NString(None), |value| string(&value));
    let mut parameter_list = parameters(&entity.kind);
    if main == "text" && entity.kind.parameter("charset").is_none() {
        parameter_list.push((word("charset"), word("us-ascii")));
    }
    let encoding = header::value(entity.header, "Content-Transfer-Encoding");
    BasicFields {
        parameter_list,
        id: text("Content-ID"),
        description: text("Content-Description"),
        content_transfer_encoding: encoding.map_or_else(|| word("7bit"), |value| octets(&value)),
        size: number(entity.body.len()),
    }
}

fn disposition(entity: &Entity<'_>) -> Disposition<'static> {
    let value = header::value(entity.header, "Content-Disposition");
    let read = value.map(|value| Parameterized::read(&value));
    Disposition { disposition: read.map(|read| (word(&read.word), parameters(&read))), tail: None }
}

fn parameters(of: &Parameterized) -> Parameters {
    of.parameters.iter().map(|(name, value)| (word(name), octets(value))).collect()
}

fn word(text: &str) -> IString<'static> {
    octets(text.as_bytes())
}

/// The store keeps no NUL, the one octet that no string takes.
fn octets(octets: &[u8]) -> IString<'static> {
    IString::try_from(octets.to_vec())
        .unwrap_or_else(|_| IString::Quoted(imap_codec::imap_types::core::Quoted::unvalidated("")))
}
