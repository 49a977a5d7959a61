// Verifies webhooks: each line of its input is JSON with library, secret, headers and body.
const libraries = { standardwebhooks: require("standardwebhooks"), svix: require("svix") };

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { library, secret, headers, body } = JSON.parse(line);
  let answer;
  try {
    new libraries[library].Webhook(secret).verify(body, headers);  // that of svix returns nothing
    answer = { is: "right" };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
});
