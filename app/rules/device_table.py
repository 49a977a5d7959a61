"""What people call devices, systems and programs: the table behind device_names.py and callers/user_agents.py.

`ua-parser` reads user agents. This table mends what it says. Where a line is from stands beside it:

    sent      what the program itself sends as User-Agent, as its maker documents it or as it was seen
    ua-parser a family of ua-parser's own list (uap-core)
    Discord   `os` or `browser` in X-Super-Properties of Discord's clients
    house     our word for what the others call otherwise

The first line that fits counts, so what is special stands before what is general.
"""

import re
from typing import Literal, NamedTuple

DeviceKind = Literal["desktop", "phone", "tablet", "tv", "console", "headset", "browser", "program", "unknown"]


class Thing(NamedTuple):
    """A device that a user agent names.

    Attributes:
        token: It is somewhere in the user agent, in this spelling.
        name: None if the system is the better name.
        is_one_of_many: People say "on a Kindle", but "on iPhone".
    """

    token: str
    name: str | None
    kind: DeviceKind
    is_one_of_many: bool = False


class System(NamedTuple):
    """A system.

    Attributes:
        is_thing: Its name is that of the device, as "Xbox" is.
    """

    name: str | None
    kind: DeviceKind
    is_thing: bool = False


THINGS = (
    Thing("Nintendo 3DS", "Nintendo 3DS", "console"),  # sent, with "like iPhone"
    Thing("iPod", "iPod touch", "phone"),  # sent, with "iPhone OS"
    Thing("iPad", None, "tablet"),  # sent
    Thing("iPhone", None, "phone"),  # sent
    Thing("AppleTV", "Apple TV", "tv"),  # sent by tvOS's own programs
    Thing("Apple TV", "Apple TV", "tv"),  # sent
    Thing("ATV OS X", "Apple TV", "tv"),  # ua-parser
    Thing("tvOS", "Apple TV", "tv"),  # sent
    Thing("visionOS", "Apple Vision", "headset"),  # sent; its Safari says Macintosh
    Thing("Xbox", "Xbox", "console"),  # sent, beside "Windows NT 10.0"
    Thing("PlayStation 5", "PlayStation 5", "console"),  # sent
    Thing("PlayStation 4", "PlayStation 4", "console"),  # sent
    Thing("PLAYSTATION 3", "PlayStation 3", "console"),  # sent
    Thing("PlayStation Vita", "PlayStation Vita", "console"),  # sent
    Thing("PlayStation", "PlayStation", "console"),  # sent
    Thing("Nintendo Switch", "Nintendo Switch", "console"),  # sent
    Thing("Nintendo WiiU", "Wii U", "console"),  # sent
    Thing("Nintendo Wii", "Wii", "console"),  # sent
    Thing("Nintendo DSi", "Nintendo DSi", "console"),  # sent
    Thing("Nintendo", "Nintendo", "console"),  # house
    Thing("Steam Deck", "Steam Deck", "console"),  # house
    Thing("Quest 3S", "Meta Quest 3S", "headset"),  # sent
    Thing("Quest 3", "Meta Quest 3", "headset"),  # sent
    Thing("Quest 2", "Meta Quest 2", "headset"),  # sent
    Thing("Quest Pro", "Meta Quest Pro", "headset"),  # sent
    Thing("OculusBrowser", "Meta Quest", "headset"),  # sent, also in desktop mode
    Thing("PicoBrowser", "Pico", "headset"),  # sent
    Thing("Pico ", "Pico", "headset"),  # sent
    Thing("Wolvic", None, "headset"),  # sent
    Thing("VR Safari", None, "headset"),  # sent: "Mobile VR Safari" of headsets with Android
    Thing("CrKey", "Chromecast", "tv"),  # sent
    Thing("Roku", "Roku", "tv"),  # sent
    Thing("BRAVIA", "Sony TV", "tv"),  # sent
    Thing("SonyDTV", "Sony TV", "tv"),  # sent
    Thing("SMART-TV", "Samsung TV", "tv"),  # sent, with Tizen or Linux
    Thing("Maple", "Samsung TV", "tv"),  # sent by sets before Tizen
    Thing("Web0S", "LG TV", "tv"),  # sent, with a zero
    Thing("webOS.TV", "LG TV", "tv"),  # sent
    Thing("NetCast", "LG TV", "tv"),  # sent by sets before webOS
    Thing("LG Browser", "LG TV", "tv"),  # sent
    Thing("VIDAA", "Hisense TV", "tv"),  # sent
    Thing("Viera", "Panasonic TV", "tv"),  # sent
    Thing("VIERA", "Panasonic TV", "tv"),  # sent
    Thing("PhilipsTV", "Philips TV", "tv"),  # sent
    Thing("Philips", "Philips TV", "tv"),  # sent
    Thing("NETTV", "TV", "tv", True),  # sent
    Thing("AQUOS TV", "Sharp TV", "tv"),  # sent
    Thing("Android TV", "Android TV", "tv"),  # sent
    Thing("AndroidTV", "Android TV", "tv"),  # sent
    Thing("Google TV", "Google TV", "tv"),  # sent
    Thing("GoogleTV", "Google TV", "tv"),  # sent
    Thing("MiTV", "Android TV", "tv"),  # sent
    Thing("MIBOX", "Android TV", "tv"),  # sent
    Thing("HbbTV", "TV", "tv", True),  # sent; ETSI TS 102 796
    Thing("CE-HTML", "TV", "tv", True),  # sent; CEA-2014
    Thing("SmartTV", "TV", "tv", True),  # sent
    Thing("Smart TV", "TV", "tv", True),  # sent
    Thing("Smart-TV", "TV", "tv", True),  # sent
    Thing("OPR TV", "TV", "tv", True),  # sent
    Thing("InettvBrowser", "TV", "tv", True),  # sent
    Thing("DTV", "TV", "tv", True),  # sent
    Thing("Kindle", "Kindle", "tablet", True),  # sent
    Thing("Tesla/", "Tesla", "browser", True),  # sent
    Thing("QtCarBrowser", "Tesla", "browser", True),  # sent
    Thing("(Phone; ", None, "phone"),  # sent by HarmonyOS NEXT, and by others after "OpenHarmony"
    Thing("(Tablet; ", None, "tablet"),  # sent by the same, and by Firefox before version 68
    Thing("(PC; ", None, "desktop"),  # sent by HarmonyOS NEXT
)

FIRE_TV = Thing("", "Fire TV", "tv")
FIRE_TABLET = Thing("", "Fire tablet", "tablet", True)
# Amazon's own list of models: AFT and letters are its TVs, KF and letters its tablets.
AMAZON = re.compile(r"; (?:(AFT[A-Z0-9]{1,8})|KF[A-Z]{2,8})(?: Build/|\)|;)")

# Models that say their name. Most send a code ("SM-S911B"), which nobody knows. Each as its maker sends it.
MODEL = re.compile(
    r"Pixel(?: (?:\d{1,2}a?|C))?(?: Pro)?(?: XL| Fold| Tablet)?"
    r"|Nexus \d{1,2}[A-Z]?"
    r"|Nokia [A-Z]?\d{1,4}(?:\.\d)?(?: Plus)?"
    r"|moto [a-z]\d{0,3}(?:\(\d\))?(?: (?:power|play|plus|pure|stylus|5G|\(?\d{1,4}\)?))*"
    r"|Redmi (?:Note )?\d{1,2}[A-Z]?(?: (?:Pro|Plus|5G))*"
    r"|POCO [A-Z]\d{1,2}(?: (?:Pro|GT|5G))*"
    r"|Mi (?:Note )?\d{1,2}[A-Z]?(?: (?:Lite|Pro|Ultra|5G))*"
    r"|Galaxy [A-Z]\d{1,2}(?: (?:Ultra|Plus|FE|5G))*"
)
MODEL_SENT = re.compile(rf"; ({MODEL.pattern})(?: Build/|\)|;)")

# Programs that a user agent names, and ua-parser takes for others or not at all
PROGRAMS = (
    ("Vesktop", "Vesktop"),  # sent
    ("ArmCord", "ArmCord"),  # sent
    ("Legcord", "Legcord"),  # sent
    ("DiscordBot", "DiscordBot"),  # sent by bots; Discord's reference asks for it
    ("Discordbot", "Discordbot"),  # sent by what fetches previews of links
    ("discord/", "Discord"),  # sent, beside Electron
    ("Discord/", "Discord"),  # sent on iOS, and by Canary
    ("DiscordCanary/", "Discord"),  # sent
    ("DiscordPTB/", "Discord"),  # sent
    ("Discord-Android", "Discord"),  # sent
    ("Discord-Embedded", "Discord"),  # sent
    ("Slack_SSB/", "Slack"),  # sent
    ("Slack/", "Slack"),  # sent
    ("Teams/", "Microsoft Teams"),  # sent
    ("Code/", "VS Code"),  # sent, beside Electron
    ("Vivaldi/", "Vivaldi"),  # sent; ua-parser knows it on computers alone
    ("Edition GX", "Opera GX"),  # sent, "(Edition GX-CN)"
    ("OPX/", "Opera GX"),  # sent on iOS
    ("OPT/", "Opera"),  # sent on iOS
    ("Focus/", "Firefox Focus"),  # sent on iOS
    ("Klar/", "Firefox Klar"),  # sent on iOS
    ("EdgiOS/", "Edge"),  # sent
    ("FxiOS/", "Firefox"),  # sent
    ("DuckDuckGo/", "DuckDuckGo"),  # sent
    ("Ddg/", "DuckDuckGo"),  # sent
    ("Ecosia", "Ecosia"),  # sent
    ("Snapchat", "Snapchat"),  # sent
    ("Instagram", "Instagram"),  # sent
    ("BytedanceWebview", "TikTok"),  # sent
    ("musical_ly", "TikTok"),  # sent
    ("TikTok", "TikTok"),  # sent
    ("FBAN/Messenger", "Messenger"),  # sent
    ("FBAN/", "Facebook"),  # sent
    ("FB_IAB", "Facebook"),  # sent
    ("FBAV/", "Facebook"),  # sent
    ("MicroMessenger", "WeChat"),  # sent
    (" Line/", "LINE"),  # sent
    ("KAKAOTALK", "KakaoTalk"),  # sent
    ("LinkedInApp", "LinkedIn"),  # sent
    ("Pinterest", "Pinterest"),  # sent
    ("Whale/", "Whale"),  # sent
    ("Brave", "Brave"),  # sent on iOS
    ("OculusBrowser", "Meta Quest Browser"),  # sent
    ("Wolvic", "Wolvic"),  # sent
    ("PicoBrowser", "Pico Browser"),  # sent
    ("MiuiBrowser", "Mi Browser"),  # sent
    ("HuaweiBrowser", "Huawei Browser"),  # sent
    ("ArkWeb", "Huawei Browser"),  # sent by HarmonyOS NEXT
    ("HeyTapBrowser", "HeyTap Browser"),  # sent
    ("VivoBrowser", "Vivo Browser"),  # sent
    ("PowerShell/", "PowerShell"),  # sent
)

# Names of ua-parser and of Discord's clients, and what people say; "" for what is no program
CALLED = {
    "Mobile Safari": "Safari",  # ua-parser, Discord
    "Mobile Safari UI/WKWebView": "Safari",  # ua-parser
    "Safari Technology Preview": "Safari",  # ua-parser
    "Chrome Mobile": "Chrome",  # ua-parser
    "Chrome Mobile iOS": "Chrome",  # ua-parser
    "Chrome Mobile WebView": "Chrome",  # ua-parser
    "Android Chrome": "Chrome",  # Discord
    "Chrome iOS": "Chrome",  # Discord
    "Firefox Mobile": "Firefox",  # ua-parser
    "Firefox iOS": "Firefox",  # ua-parser
    "Edge Mobile": "Edge",  # ua-parser
    "IE": "Internet Explorer",  # ua-parser
    "IE Mobile": "Internet Explorer",  # ua-parser
    "Opera Mobile": "Opera",  # ua-parser
    "Opera Touch": "Opera",  # ua-parser
    "Opera Tablet": "Opera",  # ua-parser
    "Brave Mobile": "Brave",  # ua-parser
    "DuckDuckGo Mobile": "DuckDuckGo",  # ua-parser
    "Ecosia Android": "Ecosia",  # ua-parser
    "Ecosia iOS": "Ecosia",  # ua-parser
    "Oculus Browser": "Meta Quest Browser",  # ua-parser
    "Amazon Silk": "Silk",  # ua-parser
    "QQ Browser Mobile": "QQ Browser",  # ua-parser
    "Android": "",  # ua-parser, for Dalvik and the browser of Android 4
    "Android Mobile": "",  # Discord, the browser of Android 4
    "HbbTV": "",  # ua-parser
    "Roku": "",  # ua-parser
    "Other": "",  # ua-parser
    "Unknown": "",  # Discord
    "Discord Client": "Discord",  # Discord
    "Discord Android": "Discord",  # Discord
    "Discord iOS": "Discord",  # Discord
    "Discord Embedded": "Discord",  # Discord, on consoles and in games
    "Discord VR": "Discord",  # Discord, on headsets
    "Playstation": "Discord",  # Discord
    "Xbox": "Discord",  # Discord
    "Facebook Mobile": "Facebook",  # Discord
}

# What `browser` in properties says of the device, if `os` does not
KIND_OF_CLIENT: dict[str, DeviceKind] = {
    "Discord VR": "headset",  # Discord
    "Discord Embedded": "console",  # Discord
    "Playstation": "console",  # Discord
    "Xbox": "console",  # Discord
}

# In lower case: of ua-parser, and `os` of Discord's clients
SYSTEMS = {
    "windows": System("Windows", "desktop"),
    "win32": System("Windows", "desktop"),  # sent by bots: Python's sys.platform
    "macos": System("macOS", "desktop"),
    "mac os x": System("macOS", "desktop"),
    "mac os": System("macOS", "desktop"),
    "darwin": System("macOS", "desktop"),  # sent by bots
    "linux": System("Linux", "desktop"),
    "chrome os": System("ChromeOS", "desktop"),
    "chromeos": System("ChromeOS", "desktop"),
    "freebsd": System("FreeBSD", "desktop"),
    "openbsd": System("OpenBSD", "desktop"),
    "netbsd": System("NetBSD", "desktop"),
    "solaris": System("Solaris", "desktop"),
    "haiku": System("Haiku", "desktop"),
    "ubuntu": System("Ubuntu", "desktop"),
    "debian": System("Debian", "desktop"),
    "fedora": System("Fedora", "desktop"),
    "arch linux": System("Arch Linux", "desktop"),
    "red hat": System("Red Hat", "desktop"),
    "suse": System("SUSE", "desktop"),
    "gentoo": System("Gentoo", "desktop"),
    "mint": System("Linux Mint", "desktop"),
    "android": System("Android", "phone"),
    "ios": System("iOS", "phone"),
    "iphone os": System("iOS", "phone"),
    "ipados": System("iOS", "tablet"),
    "harmonyos": System("HarmonyOS", "phone"),
    "openharmony": System("HarmonyOS", "phone"),
    "kaios": System("KaiOS", "phone"),
    "windows phone": System("Windows Phone", "phone"),
    "windows mobile": System("Windows Mobile", "phone"),
    "blackberry os": System("BlackBerry OS", "phone"),
    "blackberry": System("BlackBerry", "phone"),
    "blackberry tablet os": System("BlackBerry Tablet OS", "tablet"),
    "symbian os": System("Symbian", "phone"),
    "symbian^3": System("Symbian", "phone"),
    "bada": System("Bada", "phone"),
    "firefox os": System("Firefox OS", "phone"),
    "maemo": System("Maemo", "phone"),
    "tizen": System("Tizen", "tv"),
    "webos": System("webOS", "tv"),
    "tvos": System("Apple TV", "tv"),
    "atv os x": System("Apple TV", "tv"),
    "chromecast": System("Chromecast", "tv", True),
    "google tv": System("Google TV", "tv"),
    "roku": System("Roku", "tv", True),
    "watchos": System("Apple Watch", "unknown", True),
    "visionos": System("Apple Vision", "headset", True),
    "playstation": System("PlayStation", "console", True),
    "xbox": System("Xbox", "console", True),
    "nintendo": System("Nintendo", "console", True),
    "other": System(None, "unknown"),
    "unknown": System(None, "unknown"),
}

# Programs that are no device: what they send as their name, and ua-parser's families
LIBRARY = re.compile(
    r"aiohttp|axios|apache-httpclient|bun|curl|dart|deno|discord\.js|faraday|go-http-client|got|guzzlehttp|hackney"
    r"|http_request2|httpie|httpx|insomnia|jakarta commons-httpclient|java|jersey|ktor-client|libwww-perl|mechanize"
    r"|needle|node|node\.js|node-fetch|node-superagent|okhttp|perl|php|postman|postmanruntime|powershell"
    r"|python aiohttp|python requests|python-httpx|python-requests|python-urllib|reqwest|rest-client|ruby|superagent"
    r"|undici|urlgrabber|wget",
    re.IGNORECASE,
)
# Of what searches the web or shows previews of links
BOT = re.compile(r"(?:bot|crawler|spider|preview|externalhit|monitor|feed)(?![a-z])", re.IGNORECASE)

# Programs besides those above that mails may name: ua-parser's families
COMMON_PROGRAMS = frozenset(
    [
        "Brave",
        "Chrome",
        "Chromium",
        "Edge",
        "Electron",
        "Facebook",
        "Firefox",
        "Firefox Focus",
        "Google",
        "HeadlessChrome",
        "Internet Explorer",
        "Konqueror",
        "Opera",
        "Opera Mini",
        "QQ Browser",
        "Safari",
        "Samsung Internet",
        "Silk",
        "UC Browser",
        "Vivaldi",
        "Yandex Browser",
    ]
)
