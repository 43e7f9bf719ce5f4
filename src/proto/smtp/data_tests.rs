use super::*;
use proptest::prelude::*;

/// Feeds `pieces` one by one; what left, whether the end came, and what was left behind it.
fn decoded(pieces: &[&[u8]]) -> (Vec<u8>, bool, Vec<u8>, u64) {
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
    let (mut out, mut ended) = (Vec::new(), false);
    for piece in pieces {
        input.extend_from_slice(piece);
        if !ended {
            let decoded = decoder.decode(&mut input);
            out.extend_from_slice(&decoded.octets);
            ended = decoded.ended;
        }
    }
    (out, ended, input.to_vec(), decoder.octets())
}

/// RFC 5321 §4.5.2 and our mending, octet by octet and without any cleverness: the message's own octets, and how
/// many of the input belong to it, `None` while the end has not come.
fn reference(octets: &[u8]) -> (Vec<u8>, Option<usize>) {
    let (mut message, mut at, mut line_start) = (Vec::new(), 0, true);
    while at < octets.len() {
        if line_start && octets[at..].starts_with(b".\r\n") {
            return (message, Some(at + 3));
        }
        if line_start && octets[at] == b'.' {
            at += 1;
        }
        line_start = false;
        match octets.get(at) {
            None => break,
            Some(b'\r') if octets.get(at + 1) == Some(&b'\n') => {
                message.extend_from_slice(b"\r\n");
                at += 2;
                line_start = true;
            }
            Some(b'\r' | b'\n') => {
                message.extend_from_slice(b"\r\n");
                at += 1;
            }
            Some(octet) => {
                message.push(*octet);
                at += 1;
            }
        }
    }
    (message, None)
}

/// What a server that knows only CRLF makes of what left; panics at a bare CR or LF, or at an end.
fn unstuffed(octets: &[u8]) -> Vec<u8> {
    let (mut message, mut at, mut line_start) = (Vec::new(), 0, true);
    while at < octets.len() {
        if line_start && octets[at] == b'.' {
            assert!(!octets[at..].starts_with(b".\r\n"), "an end of message that is not the app's");
            at += 1;
        }
        line_start = octets[at..].starts_with(b"\r\n");
        if line_start {
            message.extend_from_slice(b"\r\n");
            at += 2;
        } else {
            assert!(!matches!(octets[at], b'\r' | b'\n'), "a bare CR or LF leaves");
            message.push(octets[at]);
            at += 1;
        }
    }
    message
}

#[test]
fn only_crlf_dot_crlf_ends_a_message_rfc_5321_section_4_1_1_4() {
    for smuggled in [
        "a\n.\nb",
        "a\r\n.\nb",
        "a\n.\r\nb",
        "a\r.\rb",
        "a\r\n.\r\r\nb",
        "a\r.\r\nb",
        "a\n.\rb",
        ".\nb",
        "a\r\n.\rb",
    ] {
        let text = format!("{smuggled}\r\n.\r\nQUIT\r\n");
        let (out, ended, rest, _) = decoded(&[text.as_bytes()]);
        assert!(ended && rest == b"QUIT\r\n", "{smuggled:?}");
        assert!(unstuffed(&out).ends_with(b"b\r\n"), "{smuggled:?}");
    }
}

#[test]
fn an_empty_message_and_a_dot_at_the_very_start() {
    assert_eq!(decoded(&[b".\r\nNOOP\r\n"]), (vec![], true, b"NOOP\r\n".to_vec(), 0));
    assert_eq!(decoded(&[b"..\r\n.\r\n"]), (b"..\r\n".to_vec(), true, vec![], 3));
}

#[test]
fn a_clean_message_passes_uncopied() {
    let mut input = BytesMut::from(&b"a: b\r\n\r\n..dots\r\n\0\xff\r\n"[..]);
    let start = input.as_ptr();
    let decoded = Decoder::default().decode(&mut input);
    assert_eq!(decoded.octets.as_ptr(), start);
    assert_eq!(decoded.octets.len(), 20);
}

#[test]
fn bare_line_ends_become_crlf_and_dots_behind_them_are_stuffed() {
    let (out, ended, _, octets) = decoded(&[b"a\n.b\r..c\nd\r\n.\r\n"]);
    assert!(ended);
    assert_eq!(out, b"a\r\n..b\r\n...c\r\nd\r\n");
    assert_eq!(octets, 15);
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()), 2 => Just(b"\r".to_vec()), 2 => Just(b"\n".to_vec()),
        4 => Just(b".".to_vec()), 1 => Just(b"\r\n.\r\n".to_vec()), 3 => Just(b"x".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_split_gives_what_the_reference_gives(octets in octets(), cuts in prop::collection::vec(0usize..200, 0..12)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(octets.len())).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &octets[pair[0]..pair[1]]).collect();
        let (out, ended, rest, counted) = decoded(&pieces);
        let (message, end) = reference(&octets);
        prop_assert_eq!(ended, end.is_some());
        let arrived = unstuffed(&out);
        prop_assert_eq!(counted, arrived.len() as u64);
        match end {
            Some(end) => {
                prop_assert_eq!(arrived, message);
                prop_assert_eq!(&rest, &octets[end..]);
            }
            None => {
                prop_assert!(rest.len() <= 2);
                prop_assert!(message.starts_with(&arrived));
            }
        }
    }

    #[test]
    fn octet_by_octet_is_the_same_as_at_once(octets in octets()) {
        let single: Vec<&[u8]> = octets.chunks(1).collect();
        let (slow, slowly_ended, _, _) = decoded(&single);
        let (fast, ended, _, _) = decoded(&[&octets]);
        prop_assert_eq!(slowly_ended, ended);
        prop_assert_eq!(unstuffed(&slow), unstuffed(&fast));
    }
}
