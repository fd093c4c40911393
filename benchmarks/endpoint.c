/* A source of files and an S3 bucket that keeps nothing but names, fast enough to be nobody's bottleneck.
 *
 * endpoint PAYLOAD prints the port of 127.0.0.1 it listens on. Every file and every object is the payload.
 * GET /source/… is the source, GET /counts tells the requests, objects and bytes so far, all else is the bucket: PUT,
 * HEAD, GET, list and multipart uploads; neither signatures nor bodies are looked at. It ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NAMES = 1 << 17, HEAD = 16384, BITE = 1 << 18, PAGE = 1000 };
enum { SOURCE_GET, SOURCE_HEAD, PUT, GET, HEADED, LIST, PART, BEGIN, COMPLETE, OTHER, KINDS };
static const char *const kinds[KINDS] = {"source_get", "source_head", "put", "get", "head", "list", "part", "begin",
                                         "complete", "other"};
static char *payload, *names[NAMES], *listed[NAMES];
static size_t size, known;
static long counts[KINDS], bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void count(int kind) { __atomic_add_fetch(&counts[kind], 1, __ATOMIC_RELAXED); }

static int find(const char *path, int add) {
    size_t at = 5381, found;
    for (const char *c = path; *c; c++) at = at * 33 + (unsigned char)*c;
    pthread_mutex_lock(&lock);
    for (at %= NAMES; names[at] && strcmp(names[at], path); at = (at + 1) % NAMES)
        ;
    found = names[at] != NULL;
    if (!found && add && known < NAMES / 2) listed[known++] = names[at] = strdup(path);
    pthread_mutex_unlock(&lock);
    return found;
}

static int send_all(int fd, struct iovec *part, int parts) {
    while (parts) {
        ssize_t sent = writev(fd, part, parts);
        if (sent <= 0) return -1;
        while (parts && (size_t)sent >= part->iov_len) sent -= (ssize_t)part->iov_len, part++, parts--;
        if (parts) part->iov_base = (char *)part->iov_base + sent, part->iov_len -= (size_t)sent;
    }
    return 0;
}

static int answer(int fd, const char *status, const char *kind, const char *body, size_t length, int headed) {
    char head[512];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nAccept-Ranges: none\r\n"
                     "ETag: \"00000000000000000000000000000000\"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n\r\n",
                     status, kind, length);
    struct iovec parts[2] = {{head, (size_t)n}, {(void *)body, length}};
    return send_all(fd, parts, headed || !length ? 1 : 2);
}

static int xml(int fd, const char *body) { return answer(fd, "200 OK", "application/xml", body, strlen(body), 0); }

static int list(int fd, const char *query) {
    const char *token = strstr(query, "continuation-token="), *marker = strstr(query, "marker=");
    const char *after = token ? token + 19 : marker ? marker + 7 : "0"; /* versions 2 and 1 of the call */
    size_t from = strtoul(after, NULL, 10), to = from + PAGE < known ? from + PAGE : known;
    char *body = malloc((to - from + 1) * 1200 + 400), *end = body;
    end += sprintf(end, "<ListBucketResult><IsTruncated>%s</IsTruncated>", to < known ? "true" : "false");
    const char *next = "<NextMarker>%zu</NextMarker><NextContinuationToken>%zu</NextContinuationToken>";
    if (to < known) end += sprintf(end, next, to, to);
    for (size_t i = from; i < to; i++) {
        const char *key = strchr(listed[i] + 1, '/');
        end += sprintf(end, "<Contents><Key>%s</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>"
                       "&quot;00000000000000000000000000000000&quot;</ETag><Size>%zu</Size></Contents>",
                       key ? key + 1 : "", size);
    }
    strcpy(end, "</ListBucketResult>");
    int failed = xml(fd, body);
    free(body);
    return failed;
}

static int tell(int fd) {
    char body[1024] = "";
    for (int kind = 0; kind < KINDS; kind++)
        sprintf(body + strlen(body), "%s=%ld\n", kinds[kind], __atomic_load_n(&counts[kind], __ATOMIC_RELAXED));
    sprintf(body + strlen(body), "objects=%zu\nbytes=%ld\n", known, __atomic_load_n(&bytes, __ATOMIC_RELAXED));
    return answer(fd, "200 OK", "text/plain", body, strlen(body), 0);
}

static int of_bucket(int fd, const char *method, char *path, const char *query) {
    int put = !strcmp(method, "PUT"), post = !strcmp(method, "POST"), headed = !strcmp(method, "HEAD");
    const char *slash = strchr(path + 1, '/');
    if (!slash || !slash[1]) {
        if (!strcmp(method, "GET")) return count(LIST), list(fd, query);
        return count(OTHER), answer(fd, "200 OK", "text/plain", "", 0, headed);
    }
    if (put && strstr(query, "partNumber")) return count(PART), answer(fd, "200 OK", "text/plain", "", 0, 0);
    if (put) return count(PUT), find(path, 1), answer(fd, "200 OK", "text/plain", "", 0, 0);
    if (post && strstr(query, "uploads"))
        return count(BEGIN),
               xml(fd, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
    if (post && strstr(query, "uploadId"))
        return count(COMPLETE), find(path, 1),
               xml(fd, "<CompleteMultipartUploadResult><ETag>\"0-1\"</ETag></CompleteMultipartUploadResult>");
    count(headed ? HEADED : strcmp(method, "GET") ? OTHER : GET);
    if (!find(path, 0)) return answer(fd, "404 Not Found", "application/xml", "", 0, headed);
    return answer(fd, "200 OK", "application/octet-stream", payload, size, headed);
}

static int serve(int fd, char *head) {
    char *path = strchr(head, ' ');
    if (!path) return -1;
    *path++ = 0;
    char *end = strchr(path, ' ');
    if (!end) return -1;
    *end = 0;
    char *query = strchr(path, '?');
    if (query) *query++ = 0;
    if (!strcmp(path, "/counts")) return tell(fd);
    if (strncmp(path, "/source/", 8)) return of_bucket(fd, head, path, query ? query : "");
    int headed = !strcmp(head, "HEAD");
    count(headed ? SOURCE_HEAD : SOURCE_GET);
    return answer(fd, "200 OK", "audio/ogg", payload, size, headed);
}

static void *talk(void *given) {
    int fd = (int)(long)given, one = 1;
    char *got = malloc(HEAD + BITE);
    size_t have = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        char *end;
        got[have] = 0;
        while (!(end = memmem(got, have, "\r\n\r\n", 4))) {
            ssize_t n = have < HEAD ? recv(fd, got + have, HEAD + BITE - 1 - have, 0) : 0;
            if (n <= 0) goto gone;
            have += (size_t)n, got[have] = 0;
        }
        *end = 0;
        size_t used = (size_t)(end + 4 - got);
        char *told = strcasestr(got, "\r\ncontent-length:");
        size_t body = told ? strtoul(told + 17, NULL, 10) : 0;
        struct iovec go = {"HTTP/1.1 100 Continue\r\n\r\n", 25};
        if (strcasestr(got, "\r\nexpect: 100") && have == used && send_all(fd, &go, 1)) goto gone;
        if (*got == 'P' && got[1] == 'U') __atomic_add_fetch(&bytes, (long)body, __ATOMIC_RELAXED);
        char head[HEAD];
        snprintf(head, sizeof head, "%.*s", (int)strcspn(got, "\r"), got);
        size_t here = have - used < body ? have - used : body;
        memmove(got, got + used + here, have - used - here);
        have -= used + here, body -= here;
        while (body) {
            ssize_t n = recv(fd, got, body < BITE ? body : BITE, 0);
            if (n <= 0) goto gone;
            body -= (size_t)n;
        }
        if (serve(fd, head)) goto gone;
    }
gone:
    close(fd);
    free(got);
    return NULL;
}

static void *wait_for_the_end(void *unused) {
    while (getchar() != EOF)
        ;
    exit(0);
    return unused;
}

int main(int words, char **word) {
    FILE *file = words == 2 ? fopen(word[1], "rb") : NULL;
    if (!file) return 2;
    fseek(file, 0, SEEK_END);
    size = (size_t)ftell(file);
    rewind(file);
    payload = malloc(size);
    if (fread(payload, 1, size, file) != size) return 2;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) return 2;
    getsockname(listener, (struct sockaddr *)&at, &length);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_the_end, NULL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && (pthread_create(&thread, NULL, talk, (void *)(long)fd) || pthread_detach(thread))) close(fd);
    }
}
