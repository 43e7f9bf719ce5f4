//! The tables: whatever was there before, what is in them after it.

use super::*;

/// Some two hundred values for a hundred thousand messages, two more when two are new.
#[tokio::test]
async fn a_large_mailbox_is_few_values() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let mut large = told(7, &(1..=100_000).map(|number| (number, u64::from(number))).collect::<Vec<_>>());
    write(&ledger, 1, &large).await;
    let octets = || fs::metadata(path.join(FILE)).unwrap().len();
    let first = octets();
    assert!(first < 4 << 20, "{first}");
    for number in [100_001, 100_002] {
        large.messages.push((uid(number), MessageSize::told(1)));
        large.messages.remove(0);
        large.uid_next = Uid::new(number + 1);
        write(&ledger, 1, &large).await;
    }
    assert!(octets() < first * 2, "{} after {first}", octets());
    assert_eq!(read(&ledger, 1).await, Some(large));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was there before: of each message that is there the last identity told, else the last one seen.
    #[test]
    fn each_message_has_its_own_identity(
        steps in prop::collection::vec(
            (
                1u32..3,
                prop::collection::btree_set(1u32..1500, 0..40),
                prop::collection::btree_map(1u32..1500, 0u64..100, 0..20),
                prop::collection::btree_map(1u32..1500, 0u64..100, 0..20),
            ),
            1..8,
        ),
    ) {
        let (_outer, path) = place();
        let database = file::open(Folder::open(&path).unwrap().open_file(FILE).unwrap()).unwrap();
        let mut expected: (u32, BTreeMap<u32, Identity>) = (0, BTreeMap::new());
        for (uid_validity, there, told_now, seen_now) in steps {
            let listed = listed(uid_validity, there.iter().map(|number| (*number, MessageSize::told(1))));
            let told_now: Vec<_> = told_now.into_iter().map(|(at, number)| (at, said(number))).collect();
            file::write(&database, 1, Some(&news(&listed, &told_now)), None).unwrap();
            let seen_now: Vec<_> = seen_now.into_iter().map(|(at, number)| (at, seen(number))).collect();
            let identities = news(&listed, &seen_now).identities;
            let learnt = Learnt { uid_validity: validity(uid_validity), sizes: Vec::new(), identities };
            file::write(&database, 1, None, Some(&learnt)).unwrap();
            if expected.0 != uid_validity {
                expected = (uid_validity, BTreeMap::new());
            }
            expected.1.extend(told_now);
            for (at, identity) in seen_now {
                let known = expected.1.entry(at).or_insert(identity);
                if known.octets().is_some() {
                    *known = identity;
                }
            }
            expected.1.retain(|number, _| there.contains(number));
            let read = file::read_all(&database, 1).unwrap().unwrap().identities;
            let read: BTreeMap<u32, Identity> = read.into_iter().map(|(uid, it)| (uid.get(), it)).collect();
            prop_assert_eq!(&read, &expected.1);
        }
    }

    /// Whatever was there before: the listing written last, with every exact size that was known of its messages, told the same.
    #[test]
    fn the_last_listing_is_read_with_all_exact_sizes_of_the_same_messages(
        steps in prop::collection::vec(
            (1u32..3, prop::collection::btree_map(1u32..3000, 0u64..2, 0..40), prop::collection::btree_map(1u32..3000, 0u64..100, 0..6)),
            1..8,
        ),
    ) {
        let (_outer, path) = place();
        let database = file::open(Folder::open(&path).unwrap().open_file(FILE).unwrap()).unwrap();
        let mut expected = listed(1, []);
        for (uid_validity, sizes, learnt) in steps {
            let before = std::mem::replace(
                &mut expected,
                listed(uid_validity, sizes.iter().map(|(uid, octets)| (*uid, MessageSize::told(*octets)))),
            );
            file::write(&database, 1, Some(&news(&expected, &[])), None).unwrap();
            let learnt: Vec<_> = learnt.into_iter().map(|(number, octets)| (uid(number), MessageSize::exact(octets, ToldSize::of(1)))).collect();
            let known = Learnt { uid_validity: validity(uid_validity), sizes: learnt.clone(), identities: Vec::new() };
            file::write(&database, 1, None, Some(&known)).unwrap();
            if before.uid_validity == expected.uid_validity {
                MessageSize::keep_exact(&mut expected.messages, &before.messages);
            }
            for (known, size) in &mut expected.messages {
                if let Some((_, exact)) = learnt.iter().find(|(uid, _)| uid == known)
                    && size.as_told() == ToldSize::of(1)
                {
                    *size = *exact;
                }
            }
            prop_assert_eq!(file::read(&database, 1).unwrap(), Some(expected.clone()));
            prop_assert_eq!(file::read(&database, 2).unwrap(), None);
        }
    }
}
