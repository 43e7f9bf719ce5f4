//! What a private Dovecot is told, in the words of 2.3 and of 2.4; shared with the benches.
//!
//! `FOLDER` is where its files are, `USER` and `GROUP` whom the mail belongs to, `PASSWORD` everybody's, `URL` who knows
//! whose a token is: whoever puts a configuration together replaces them.

use std::io;
use std::process::Command;

/// Dovecot's own words changed with 2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Up to 2.3.
    Old,
    /// From 2.4 on.
    New,
}

impl Words {
    /// Those of the Dovecot that this program is.
    pub fn of(program: &str) -> io::Result<Self> {
        let version = Command::new(program).arg("--version").output()?.stdout;
        let version = String::from_utf8_lossy(&version).into_owned();
        let old = ["2.2", "2.3"].iter().any(|old| version.starts_with(old));
        Ok(if old { Self::Old } else { Self::New })
    }

    /// What has to stand before everything else.
    pub fn first(self) -> &'static str {
        match self {
            Self::Old => "",
            Self::New => "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n",
        }
    }

    /// TLS with what is in `cert.pem` and `key.pem`.
    pub fn certificate(self) -> &'static str {
        match self {
            Self::Old => "ssl_cert = <FOLDER/cert.pem\nssl_key = <FOLDER/key.pem\n",
            Self::New => "ssl_server_cert_file = FOLDER/cert.pem\nssl_server_key_file = FOLDER/key.pem\n",
        }
    }

    /// A mailbox for each user, kept below `mail` by this driver.
    pub fn mail(self, driver: &str) -> String {
        match self {
            Self::Old => format!("mail_location = {driver}:FOLDER/mail/%u\n"),
            Self::New => format!("mail_driver = {driver}\nmail_path = FOLDER/mail/%{{user}}\n"),
        }
    }

    /// Whatever name a user has, there is one, with a home below this folder.
    pub fn any_user(self, homes: &str) -> String {
        match self {
            Self::Old => format!(
                "userdb {{
  driver = static
  args = uid=USER gid=GROUP home=FOLDER/{homes}/%u
}}
"
            ),
            Self::New => format!(
                "mail_home = FOLDER/{homes}/%{{user}}
userdb static {{
  fields {{
    uid = USER
    gid = GROUP
    home = FOLDER/{homes}/%{{user}}
  }}
}}
"
            ),
        }
    }

    /// Users with passwords of their own, in the file `users`.
    pub fn own_passwords(self) -> &'static str {
        match self {
            Self::Old => "passdb {\n  driver = passwd-file\n  args = FOLDER/users\n}\n",
            Self::New => "passdb passwd-file {\n  passwd_file_path = FOLDER/users\n}\n",
        }
    }

    /// One password for everybody.
    pub fn one_password(self) -> &'static str {
        match self {
            Self::Old => {
                "passdb {
  driver = static
  mechanisms = plain login
  args = password=PASSWORD
}
"
            }
            Self::New => "passdb static {\n  password = PASSWORD\n}\n",
        }
    }

    /// Passwords are taken without TLS; 2.4 refuses this beside `ssl = required`.
    pub fn passwords_in_the_clear(self) -> &'static str {
        match self {
            Self::Old => "disable_plaintext_auth = no\n",
            Self::New => "auth_allow_cleartext = yes\n",
        }
    }

    /// Access tokens, which `URL` is asked about (RFC 7662); 2.3 wants [`INTROSPECTION`] in the file `oauth2` as well.
    pub fn tokens(self) -> &'static str {
        match self {
            Self::Old => {
                "passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = FOLDER/oauth2
}
"
            }
            Self::New => {
                "oauth2_introspection_mode = post
oauth2_introspection_url = URL
oauth2_force_introspection = yes
oauth2_username_attribute = username
oauth2_active_attribute = active
oauth2_active_value = true
"
            }
        }
    }

    /// Within a service: its processes serve one client after the other for ever.
    pub fn for_ever(self) -> &'static str {
        match self {
            Self::Old => "service_count = 0",
            Self::New => "restart_request_count = unlimited",
        }
    }
}

/// What 2.3 knows of tokens has a file of its own.
pub const INTROSPECTION: &str = "introspection_mode = post
introspection_url = URL
force_introspection = yes
username_attribute = username
active_attribute = active
active_value = true
";
