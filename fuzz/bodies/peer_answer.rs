//! An answer of sock_diag(7): the user who is told is in it, behind the very ends that were asked for, and an answer cut
//! short is none.
//!
//! The input is in the order of a little-endian machine; on another one numbers are read as others.

#[cfg(target_os = "linux")]
pub fn run(input: &[u8]) {
    use footbridge::net::peer::in_answer;

    const V4: [u8; 4] = [127, 0, 0, 1];
    let loopback = |family| match family {
        4 => ("127.0.0.1:40000", "127.0.0.1:1143"),
        _ => ("[::1]:40000", "[::1]:1143"),
    };
    for family in [4, 6] {
        let (app, ours) = loopback(family);
        let (app, ours) = (app.parse().expect("an address"), ours.parse().expect("an address"));
        let Ok(found) = in_answer(input, app, ours) else { continue };
        let kind = u16::from_ne_bytes([input[4], input[5]]);
        assert!(matches!(kind, 2 | 20), "kind {kind}");
        assert!(kind == 20 || found.is_none(), "an error tells a user");
        for octets in 0..input.len().min(if kind == 20 { 88 } else { 20 }) {
            assert!(in_answer(&input[..octets], app, ours).is_err(), "cut at {octets}");
        }
        if let Some(uid) = found {
            let part = |at: usize| u32::from_ne_bytes(input[at..at + 4].try_into().expect("four octets"));
            assert_eq!(uid, part(80));
            assert_ne!(part(84), 0, "no inode");
            assert!(matches!(input[17], 1 | 4 | 5 | 8 | 9 | 11), "state {}", input[17]);
            assert_eq!(input[20..24], [&40000_u16.to_be_bytes()[..], &1143_u16.to_be_bytes()].concat());
            let mapped = [&[0; 10][..], &[0xFF; 2], &V4].concat();
            let six = std::net::Ipv6Addr::LOCALHOST.octets();
            for address in [&input[24..40], &input[40..56]] {
                let its = match (family, input[16]) {
                    (4, 2) => address[..4] == V4,
                    (4, 10) => address == mapped,
                    (_, family) => family == 10 && address == six,
                };
                assert!(its, "{address:?} of family {}", input[16]);
            }
            assert_eq!(in_answer(input, ours, app).ok(), Some(None), "our own end is the app's");
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn run(_: &[u8]) {}
