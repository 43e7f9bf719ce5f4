//! A token server that gives each client the token of the user it is named for, and says whose a token is.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Tokens of large providers have so many octets.
const LENGTH: usize = 1800;

/// The longest request that is read.
const LONGEST: u64 = 64 * 1024;

/// Listens on a free port, in the clear, as long as this process lives.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whatever fails here, a login fails, which tells it.
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

/// One request.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut input = BufReader::new((&stream).take(LONGEST));
    let (mut head, mut line) = (String::new(), String::new());
    while input.read_line(&mut line)? > 2 {
        head.push_str(&line.to_ascii_lowercase());
        line.clear();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut form = Vec::new();
    input.take(length.unwrap_or_default()).read_to_end(&mut form)?;
    let form = String::from_utf8_lossy(&form).replace("%40", "@");
    let field = |name: &str| {
        let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().to_owned()
    };
    let body = if head.starts_with("post /token ") {
        let token = format!("{:.<LENGTH$}", field("client_id").replace('@', "/"));
        format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":86400}}"#)
    } else {
        let user =
            field("token").trim_end_matches('.').replace("%2F", "/").replace("%2f", "/").replace('/', "@");
        format!(r#"{{"active":true,"username":"{user}"}}"#)
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
