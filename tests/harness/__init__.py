"""What end-to-end tests are made of: a real server process, a raw generated client, real speech, a real receiver."""
